package kubernetes

import (
	"fmt"
	"hash/fnv"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/portcullis-app/portcullis/sandbox"
)

// The users that sandboxes have: each one of its own, because the kernel counts a user's
// processes on the whole node, whatever the Pod. Who shares one has fewer, and never more.
const (
	firstWorkloadID = 10_000
	workloadIDs     = 50_000
)

func workloadID(id string) int64 {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(id))
	return firstWorkloadID + int64(sum.Sum32()%workloadIDs)
}

// limits are what a sandbox may use.
type limits struct {
	workload, files corev1.ResourceRequirements
	// tmpMB is for what is temporary, and eachMB for each folder below.
	tmpMB, eachMB int64
}

// limit divides what the constraints allow, or refuses what is too little.
func limit(c sandbox.SandboxConstraints) (limits, error) {
	memory, cpu, disk := or(c.MemoryMB, defaultMemoryMB), or(c.CPUPercent, defaultCPUPercent), or(c.DiskMB, defaultDiskMB)
	if memory < minMemoryMB {
		return limits{}, refused("memory_mb", "%d is too little: it takes %d at least", memory, minMemoryMB)
	}
	folders := int64(len(folders(c.Writable())))
	l := limits{tmpMB: min(maxTmpMB, disk/4)}
	l.eachMB = (disk - l.tmpMB) / folders
	if l.tmpMB < 1 || l.eachMB < minDiskMB {
		return limits{}, refused("disk_mb", "%d is too little for %d folders, each of which takes %d", disk, folders, minDiskMB)
	}
	l.workload, l.files = exactly(memory, cpu, disk+toolsMB), exactly(filesMemoryMB, filesCPUPercent, filesDiskMB)
	return l, nil
}

func or(asked, otherwise int) int64 {
	if asked == 0 {
		return int64(otherwise)
	}
	return int64(asked)
}

// folders are the file systems of a sandbox beside what is temporary, the workspace first.
func folders(writable []string) []string {
	if slices.Contains(writable, sandbox.Workspace) {
		return []string{sandbox.Workspace}
	}
	return append([]string{sandbox.Workspace}, writable...)
}

// exactly is what is both given and not exceeded.
func exactly(memoryMB, cpuPercent, diskMB int64) corev1.ResourceRequirements {
	list := corev1.ResourceList{
		corev1.ResourceMemory:           *megabytes(memoryMB),
		corev1.ResourceCPU:              *resource.NewMilliQuantity(cpuPercent*10, resource.DecimalSI),
		corev1.ResourceEphemeralStorage: *megabytes(diskMB),
	}
	return corev1.ResourceRequirements{Requests: list, Limits: list.DeepCopy()}
}

func megabytes(n int64) *resource.Quantity { return resource.NewQuantity(n<<20, resource.BinarySI) }

// volumes are the disks of a sandbox, and where the folders of them are for the workload.
func (l limits) volumes(writable []string) (all []corev1.Volume, mounts []corev1.VolumeMount) {
	all = []corev1.Volume{volume("tools", toolsMB), volume("tmp", l.tmpMB)}
	for n, folder := range folders(writable) {
		name := fmt.Sprintf("folder-%d", n)
		all = append(all, volume(name, l.eachMB))
		mounts = append(mounts, mount(name, folder, !slices.Contains(writable, folder)))
	}
	return all, mounts
}

func volume(name string, mb int64) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: megabytes(mb)}}}
}

func mount(name, path string, readOnly bool) corev1.VolumeMount {
	return corev1.VolumeMount{Name: name, MountPath: path, ReadOnly: readOnly}
}

// everywhere is the same, to be written everywhere.
func everywhere(mounts []corev1.VolumeMount) []corev1.VolumeMount {
	open := slices.Clone(mounts)
	for n := range open {
		open[n].ReadOnly = false
	}
	return open
}
