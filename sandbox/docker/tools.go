package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/portcullis-app/portcullis/sandbox"
)

// toolsMark is the last file that is written into the volume of tools: with it, the
// others are whole.
const toolsMark = "complete"

// labelTools marks the container that the volume is filled through.
const labelTools = labelPrefix + "tools"

// toolsTime is how long it may take to fill the volume.
const toolsTime = time.Minute

// tools is the volume with the programs that run in sandboxes; its lock may be held as long
// as it takes to fill it.
type tools struct {
	mu sync.Mutex
	// volume is empty as long as it was not seen to be complete.
	volume string
}

// tooled is the name of the volume with the programs that run in sandboxes, which it
// fills if it must. It is called by its content, so that a new Portcullis has another and
// sandboxes that run keep theirs. It is on the engine's own disk: the engine need not see
// this machine's. image only lends a container to fill it through, which is never started.
func (d *Docker) tooled(ctx context.Context, image string, architecture string) (string, error) {
	d.tools.mu.Lock()
	defer d.tools.mu.Unlock()
	if d.tools.volume != "" {
		return d.tools.volume, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, toolsTime, errors.New("the sandboxes' programs were not copied to the engine in time"))
	defer cancel()
	files, err := d.toolFiles(architecture)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(files)
	volume := "portcullis-tools-" + hex.EncodeToString(sum[:8])
	if err := d.fill(ctx, volume, image, files); err != nil {
		return "", fmt.Errorf("copy the sandboxes' programs to the engine: %w", err)
	}
	d.tools.volume = volume
	return volume, nil
}

// forgotTools reports whether the volume is to be looked at again.
func (d *Docker) forgotTools() bool {
	d.tools.mu.Lock()
	defer d.tools.mu.Unlock()
	return d.tools.volume == ""
}

// forgetTools has the volume looked at again: somebody may have deleted it.
func (d *Docker) forgetTools() {
	d.tools.mu.Lock()
	defer d.tools.mu.Unlock()
	d.tools.volume = ""
}

func (d *Docker) fill(ctx context.Context, volume, image string, files []byte) (err error) {
	if err := d.dropHelpers(ctx); err != nil {
		return err
	}
	labels := unlabelled()
	labels[labelTools] = d.appLabel()
	helper, err := d.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name:   "portcullis-tools-" + strings.ToLower(rand.Text()),
		Config: &container.Config{Image: image, Entrypoint: []string{program}, User: user(initID), Labels: labels},
		HostConfig: &container.HostConfig{
			NetworkMode: "none",
			Mounts:      []mount.Mount{{Type: mount.TypeVolume, Source: volume, Target: toolsFolder, VolumeOptions: &mount.VolumeOptions{NoCopy: true}}},
		},
	})
	if err != nil {
		return missing(image, err)
	}
	defer func() {
		_, removed := d.engine.ContainerRemove(context.WithoutCancel(ctx), helper.ID, client.ContainerRemoveOptions{Force: true})
		err = errors.Join(err, removed)
	}()
	_, err = d.engine.ContainerStatPath(ctx, helper.ID, client.ContainerStatPathOptions{Path: toolsFolder + "/" + toolsMark})
	if err == nil || !cerrdefs.IsNotFound(err) {
		return err
	}
	_, err = d.engine.CopyToContainer(ctx, helper.ID, client.CopyToContainerOptions{DestinationPath: toolsFolder, Content: bytes.NewReader(files)})
	return err
}

// dropHelpers removes the containers that a process left behind which died while it filled
// the volume.
func (d *Docker) dropHelpers(ctx context.Context) error {
	left, err := d.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", labelTools+"="+d.appLabel())})
	if err != nil {
		return err
	}
	for _, helper := range left.Items {
		if d.config.Now().Sub(time.Unix(helper.Created, 0)) < 2*toolsTime {
			continue // somebody may be at it
		}
		if err := d.remove(ctx, helper.ID); err != nil {
			return err
		}
	}
	return nil
}

// missing says what is to be done about an image that the engine does not have. It is
// never pulled here: what is on the engine is what its operator put there.
func missing(image string, err error) error {
	if cerrdefs.IsNotFound(err) && strings.Contains(strings.ToLower(err.Error()), "image") {
		return &sandbox.UnsupportedError{Provider: Provider, Field: "image", Why: fmt.Sprintf("the engine does not have %s; an operator pulls it with `docker pull %s`", image, image)}
	}
	return err
}

// toolFiles is an archive of the programs, the mark last.
func (d *Docker) toolFiles(architecture string) ([]byte, error) {
	own, err := static(d.config.Program, architecture)
	if err != nil {
		return nil, err
	}
	kill, err := killer(architecture)
	if err != nil {
		return nil, err
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for _, file := range []struct {
		path    string
		content []byte
	}{{program, own}, {killProgram, kill}, {toolsFolder + "/" + toolsMark, nil}} {
		name := strings.TrimPrefix(file.path, toolsFolder+"/")
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o555, Size: int64(len(file.content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(file.content); err != nil {
			return nil, err
		}
	}
	return files.Bytes(), w.Close()
}

// static reads a program and sees that it runs in an image that has nothing.
func static(path, architecture string) ([]byte, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator's own path, or this program's
	if err != nil {
		return nil, fmt.Errorf("read the program that is PID 1 in sandboxes: %w", err)
	}
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, refused("program", "%s is no program for Linux, which is to be PID 1: %v", path, err)
	}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return nil, refused("program", "%s is not linked statically, so that it cannot be PID 1 in an image without its libraries; build it with CGO_ENABLED=0", path)
		}
	}
	if k, known := killers[architecture]; !known || file.Machine != k.machine {
		return nil, refused("program", "%s is for %s and the engine is on %s", path, file.Machine, architecture)
	}
	return content, nil
}
