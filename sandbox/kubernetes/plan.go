package kubernetes

import (
	"cmp"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/inside"
)

const (
	// workload is the container in which commands run, and files, where there is one, that
	// by which files get to where the workload may not write.
	workload = "workload"
	files    = "files"
	install  = "install"

	defaultMemoryMB   = 512
	defaultCPUPercent = 100
	defaultDiskMB     = 1024
	// minMemoryMB is what PID 1 and a command need, minDiskMB what a folder does, and
	// toolsMB what the program may have that is copied there.
	minMemoryMB = 64
	minDiskMB   = 4
	maxTmpMB    = 64
	toolsMB     = 128
	// filesMemoryMB and filesCPUPercent are the files container's own.
	filesMemoryMB   = 128
	filesCPUPercent = 20
	filesDiskMB     = 16

	// keptTime is how long a Job is there that has ended.
	keptTime = time.Minute
	// graceSeconds is how long PID 1 has to end. With none, a Pod is gone from the API
	// before it is from its node.
	graceSeconds = 1

	// annotationNetwork is what of the network a Job was created for.
	annotationNetwork = "portcullis.network"
)

// pinned is what an image is called whose content cannot change.
var pinned = regexp.MustCompile(`^[a-z0-9][a-zA-Z0-9._:/-]*@sha256:[0-9a-f]{64}$`)

// classPattern is what a RuntimeClass may be called. The name is part of a path.
var classPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// plan is what a sandbox is in the cluster.
type plan struct {
	job *batchv1.Job
	// opens is the policy that opens the network; nil: it stays shut.
	opens *networkingv1.NetworkPolicy
}

// plan is what the instance is to be, or a refusal. It asks nobody.
func (k *Kubernetes) plan(spec sandbox.Spec, is sandbox.Instance) (plan, error) {
	c := spec.Constraints
	if !pinned.MatchString(spec.Image) {
		return plan{}, refused("image", "%q is not pinned: name it by its digest, as name@sha256:…", spec.Image)
	}
	if allowed := k.config.Images; len(allowed) > 0 && !slices.Contains(allowed, spec.Image) {
		return plan{}, refused("image", "the operator lets no sandbox run it")
	}
	if set := k.config.RuntimeClass; set != "" && c.Runtime != "" && c.Runtime != set {
		return plan{}, refused("runtime", "the operator has every sandbox run with the RuntimeClass %s", strconv.Quote(set))
	}
	if class := k.runtimeClass(spec); class != "" && !classPattern.MatchString(class) {
		return plan{}, refused("runtime", "%q is not the name of a RuntimeClass", class)
	}
	limits, err := limit(c)
	if err != nil {
		return plan{}, err
	}
	net, err := k.network(is.ID, c)
	if err != nil {
		return plan{}, err
	}
	annotations := is.Labels(k.config.App)
	annotations[annotationNetwork] = net.name
	labels := map[string]string{sandbox.LabelApp: annotations[sandbox.LabelApp], sandbox.LabelID: is.ID}
	one, none, suspended, ttl := int32(1), int32(0), net.opens != nil, int32(keptTime.Seconds())
	job := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: jobs.String(), Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: is.ID, Namespace: k.config.Namespace, Labels: labels, Annotations: annotations},
		Spec: batchv1.JobSpec{
			Parallelism: &one, Completions: &one, BackoffLimit: &none,
			ActiveDeadlineSeconds: seconds(c.Lifetime()), TTLSecondsAfterFinished: &ttl,
			// Nothing runs before the policy is there that says what it reaches.
			Suspend: &suspended,
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: maps.Clone(labels)},
				Spec:       k.pod(spec, is, limits, net),
			},
		},
	}
	return plan{job: job, opens: net.opens}, nil
}

// seconds rounds up: what has a deadline never has none.
func seconds(d time.Duration) *int64 {
	n := max(1, int64(math.Ceil(d.Seconds())))
	return &n
}

func (k *Kubernetes) pod(spec sandbox.Spec, is sandbox.Instance, limits limits, net network) corev1.PodSpec {
	no, yes, grace, user := false, true, int64(graceSeconds), workloadID(is.ID)
	writable := spec.Constraints.Writable()
	all, mounts := limits.volumes(writable)
	main := corev1.Container{
		Name: workload, Image: spec.Image,
		Command: initWords(is.Deadline, spec.Constraints.Lifetime()), Args: []string{},
		WorkingDir: sandbox.Workspace,
		Env:        append([]corev1.EnvVar{{Name: "HOME", Value: writable[0]}, {Name: "TMPDIR", Value: "/tmp"}}, net.environment...),
		Resources:  limits.workload, VolumeMounts: append(mounts, mount("tools", toolsFolder, true), mount("tmp", "/tmp", false)),
	}
	first := corev1.Container{
		Name: install, Image: k.config.InitImage,
		Command: append(append([]string{ImageProgram}, inside.InstallCommand...), InitProgram), Args: []string{},
		Resources: limits.workload, VolumeMounts: []corev1.VolumeMount{mount("tools", toolsFolder, false)},
	}
	containers := []corev1.Container{main}
	if !slices.Contains(writable, sandbox.Workspace) {
		// The folders that may be written are made in the workspace by whoever mounts it
		// first: where it is read-only, none could be.
		first.VolumeMounts = append(first.VolumeMounts, everywhere(mounts)...)
		containers = append(containers, corev1.Container{
			Name: files, Image: k.config.InitImage,
			Command: main.Command, Args: []string{}, WorkingDir: sandbox.Workspace,
			Resources: limits.files, VolumeMounts: append(everywhere(mounts), mount("tools", toolsFolder, true)),
		})
	}
	spot := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, ActiveDeadlineSeconds: seconds(spec.Constraints.Lifetime()),
		TerminationGracePeriodSeconds: &grace,
		InitContainers:                []corev1.Container{first}, Containers: containers, Volumes: all,
		AutomountServiceAccountToken: &no, EnableServiceLinks: &no, ShareProcessNamespace: &no, Hostname: "sandbox",
		DNSPolicy: corev1.DNSNone, DNSConfig: &corev1.PodDNSConfig{Nameservers: net.resolvers},
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: &yes, RunAsUser: &user, RunAsGroup: &user, FSGroup: &user,
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
	if class := k.runtimeClass(spec); class != "" {
		spot.RuntimeClassName = &class
	}
	for _, list := range [][]corev1.Container{spot.InitContainers, spot.Containers} {
		for n := range list {
			list[n].ImagePullPolicy, list[n].SecurityContext = corev1.PullIfNotPresent, confined(user)
		}
	}
	return spot
}

// confined is how each container is.
func confined(user int64) *corev1.SecurityContext {
	no, yes := false, true
	return &corev1.SecurityContext{
		Privileged: &no, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, RunAsNonRoot: &yes, RunAsUser: &user, RunAsGroup: &user,
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// runtimeClass is the one that is asked for, or that the operator has chosen.
func (k *Kubernetes) runtimeClass(spec sandbox.Spec) string {
	return cmp.Or(k.config.RuntimeClass, spec.Constraints.Runtime)
}

// nameable reports whether there can be a Job of the id: its name ends as it begins.
func nameable(id string) bool { return sandbox.ValidID(id) && !strings.HasSuffix(id, "-") }

// selector picks what is the App's, and of that what is one sandbox's.
func (k *Kubernetes) selector(id string) string {
	app := sandbox.LabelApp + "=" + strconv.FormatInt(k.config.App, 10)
	if id == "" {
		return app
	}
	return app + "," + sandbox.LabelID + "=" + id
}
