package docker

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/inside"
)

// initID is the user that PID 1 is. What runs in a sandbox is another: it can neither
// signal PID 1 nor read of it, and owns no file but those that it may write.
const initID = 65533

const (
	// toolsFolder is where the programs are, and egressFolder where the socket is of
	// whoever answers for the outside.
	toolsFolder  = "/.portcullis"
	egressFolder = "/.egress"
	program      = toolsFolder + "/portcullis"
	killProgram  = toolsFolder + "/kill"

	// maxProcesses is how many processes and threads there are at most. What is above the
	// workload's is for PID 1 and for who ends the workload.
	maxProcesses = inside.MaxProcesses + 64
	maxFiles     = 4096
	oomScore     = 500

	defaultMemoryMB   = 512
	defaultCPUPercent = 100
	// minMemoryMB is what PID 1 and a command need.
	minMemoryMB = 64
	// Files are in memory and count as such: one that could fill it would end every
	// command from then on, those that delete it too.
	diskShare = 60
	shmMB     = 8
	maxTmpMB  = 64
	minDiskMB = 4
)

// pinned is what an image is called whose content cannot change: by its own digest, or
// as an engine calls what it has.
var pinned = regexp.MustCompile(`^([a-z0-9][a-zA-Z0-9._:/-]*@)?sha256:[0-9a-f]{64}$`)

// disk is how the files are divided, in MB: what is temporary, and each folder that can
// be written.
type disk struct{ tmp, each int64 }

// plan is the container that the instance is to be, or a refusal. It asks nobody.
func (d *Docker) plan(spec sandbox.Spec, is sandbox.Instance, engine facts, workload int) (client.ContainerCreateOptions, error) {
	c := spec.Constraints
	memory, cpu := int64(defaultMemoryMB), int64(defaultCPUPercent)
	if c.MemoryMB != 0 {
		memory = int64(c.MemoryMB)
	}
	if c.CPUPercent != 0 {
		cpu = int64(c.CPUPercent)
	}
	if err := engine.refuses(); err != nil {
		return client.ContainerCreateOptions{}, err
	}
	if err := engine.has(memory, cpu); err != nil {
		return client.ContainerCreateOptions{}, err
	}
	if !pinned.MatchString(spec.Image) {
		return client.ContainerCreateOptions{}, refused("image", "%q is not pinned: name it by its digest, as name@sha256:…", spec.Image)
	}
	folders := fileSystems(c.Writable())
	parts, err := divide(memory, int64(c.DiskMB), int64(len(folders)))
	if err != nil {
		return client.ContainerCreateOptions{}, err
	}
	runtime, err := d.runtime(c.Runtime, engine)
	if err != nil {
		return client.ContainerCreateOptions{}, err
	}
	out, err := d.wayOut(is.ID, c)
	if err != nil {
		return client.ContainerCreateOptions{}, err
	}
	start := inside.Options{Deadline: is.Deadline, Lifetime: c.Lifetime(), Proxy: out.socket}
	no, processes := false, int64(maxProcesses)
	labels := out.labels
	maps.Copy(labels, is.Labels(d.config.App))
	labels[labelUser] = strconv.Itoa(workload)
	return client.ContainerCreateOptions{
		Name: d.name(is.ID),
		Config: &container.Config{
			Image: spec.Image, Labels: labels, Hostname: "sandbox", User: user(initID), WorkingDir: "/",
			Entrypoint: append(append([]string{program}, inside.InitCommand...), start.Arguments()...), Cmd: []string{},
			Env:         append(environment(c.Writable()), out.environment...),
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		},
		HostConfig: &container.HostConfig{
			NetworkMode: "none", Runtime: runtime,
			ReadonlyRootfs: true, Tmpfs: parts.mounts(folders, c.Writable(), workload),
			Mounts: append(out.mounts, mount.Mount{
				Type: mount.TypeVolume, Source: engine.tools, Target: toolsFolder, ReadOnly: true, VolumeOptions: &mount.VolumeOptions{NoCopy: true},
			}),
			CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges:true"},
			IpcMode: container.IPCModePrivate, CgroupnsMode: container.CgroupnsModePrivate,
			LogConfig: container.LogConfig{Type: "none"}, ShmSize: shmMB << 20,
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}, AutoRemove: true, Init: &no,
			OomScoreAdj: oomScore,
			Resources: container.Resources{
				Memory: memory << 20, MemorySwap: memory << 20, NanoCPUs: cpu * 1e7, PidsLimit: &processes,
				Ulimits: []*container.Ulimit{{Name: "nofile", Soft: maxFiles, Hard: maxFiles}, {Name: "core"}},
			},
		},
	}, nil
}

// fileSystems are the folders that are one each: those that may be written, and all above
// them up to the workspace, which would be root's otherwise, and take no files.
func fileSystems(writable []string) []string {
	all := []string{sandbox.Workspace}
	for _, folder := range writable {
		for ; !slices.Contains(all, folder); folder = path.Dir(folder) {
			all = append(all, folder)
		}
	}
	return all
}

// divide is how the files are divided that may take up so much of the memory.
func divide(memory, asked, folders int64) (disk, error) {
	most := memory*diskShare/100 - shmMB
	if asked == 0 {
		asked = most
	}
	if asked > most {
		return disk{}, refused("disk_mb", "files are kept in memory, and may take %d of memory_mb %d at most, not %d", most, memory, asked)
	}
	parts := disk{tmp: min(maxTmpMB, asked/4)}
	parts.each = (asked - parts.tmp) / folders
	if parts.tmp < 1 || parts.each < minDiskMB {
		return disk{}, refused("disk_mb", "%d is too little for %d folders, each of which takes %d", asked, folders, minDiskMB)
	}
	return parts, nil
}

// mounts are the file systems of a sandbox. What is temporary runs no programs.
func (p disk) mounts(folders, writable []string, workload int) map[string]string {
	mounted := map[string]string{"/tmp": options(p.tmp, workload) + ",noexec"}
	for _, folder := range folders {
		owner := initID
		if slices.Contains(writable, folder) {
			owner = workload
		}
		mounted[folder] = options(p.each, owner) + ",exec"
	}
	return mounted
}

// inodesPerMB is how many files there may be: their names take memory too.
const inodesPerMB = 256

func options(mb int64, owner int) string {
	return fmt.Sprintf("rw,nosuid,nodev,size=%dm,nr_inodes=%d,uid=%d,gid=%d,mode=0755", mb, mb*inodesPerMB, owner, owner)
}

// runtime is the one that the operator has chosen, or else that is asked for.
func (d *Docker) runtime(asked string, engine facts) (string, error) {
	set := d.config.Runtime
	if set != "" && asked != "" && asked != set {
		return "", refused("runtime", "the operator has every sandbox run with %s", strconv.Quote(set))
	}
	asked = cmp.Or(set, asked)
	if asked == "" || slices.Contains(engine.runtimes, asked) {
		return asked, nil
	}
	return "", refused("runtime", "the engine has no runtime %s", strconv.Quote(asked))
}

// environment is what programs find; there is no secret in it.
func environment(writable []string) []string { return []string{"HOME=" + writable[0], "TMPDIR=/tmp"} }

// name is what the container is called: a second one of that name there cannot be.
func (d *Docker) name(id string) string { return fmt.Sprintf("portcullis-%d-%s", d.config.App, id) }
