package docker_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/sandbox"
)

// floor are the engine's calls and nothing else, for a container without any of what
// holds a sandbox but its lack of a network: what a sandbox is compared with, in the same
// run.
type floor struct {
	b      *testing.B
	engine *client.Client
}

func (f floor) create() string {
	made, err := f.engine.ContainerCreate(f.b.Context(), client.ContainerCreateOptions{
		Config: &container.Config{Image: built.image, Entrypoint: []string{"/probe", "wait", "1h"}}, HostConfig: &container.HostConfig{NetworkMode: "none"},
	})
	if err == nil {
		_, err = f.engine.ContainerStart(f.b.Context(), made.ID, client.ContainerStartOptions{})
	}
	if err != nil {
		f.b.Error(err)
	}
	return made.ID
}

func (f floor) run(id string) {
	var out, errs discard
	made, err := f.engine.ExecCreate(f.b.Context(), id, client.ExecCreateOptions{Cmd: []string{"/probe", "say", "here"}, AttachStdout: true, AttachStderr: true})
	if err != nil {
		f.b.Error(err)
		return
	}
	attached, err := f.engine.ExecAttach(f.b.Context(), made.ID, client.ExecAttachOptions{})
	if err != nil {
		f.b.Error(err)
		return
	}
	defer attached.Close()
	if _, err := stdcopy.StdCopy(&out, &errs, attached.Reader); err != nil {
		f.b.Error(err)
	}
	if _, err := f.engine.ExecInspect(f.b.Context(), made.ID, client.ExecInspectOptions{}); err != nil {
		f.b.Error(err)
	}
}

func (f floor) destroy(id string) {
	if _, err := f.engine.ContainerRemove(f.b.Context(), id, client.ContainerRemoveOptions{Force: true}); err != nil {
		f.b.Error(err)
	}
}

type discard struct{}

func (*discard) Write(p []byte) (int, error) { return len(p), nil }

// ours are the same through the provider.
type ours struct {
	b *testing.B
	w *world
}

func (o ours) create() string {
	s := spec()
	s.Constraints.MemoryMB = 512
	if _, err := o.w.Create(o.b.Context(), s); err != nil {
		o.b.Error(err)
	}
	return s.ID
}

func (o ours) run(id string) {
	if _, err := o.w.Execute(o.b.Context(), id, sandbox.Command{Argv: []string{"/probe", "say", "here"}}); err != nil {
		o.b.Error(err)
	}
}

func (o ours) destroy(id string) {
	if err := o.w.Destroy(o.b.Context(), id); err != nil {
		o.b.Error(err)
	}
}

type way interface {
	create() string
	run(id string)
	destroy(id string)
}

func took(do func()) time.Duration {
	begun := time.Now()
	do()
	return time.Since(begun)
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkSandbox is one sandbox from its creation to its first command's output, and its
// end, beside the engine's bare calls: medians, in turns.
func BenchmarkSandbox(b *testing.B) {
	w := newWorld(b)
	ways := map[string]way{"engine": floor{b, w.engine}, "sandbox": ours{b, w}}
	first, end := map[string][]time.Duration{}, map[string][]time.Duration{}
	ways["sandbox"].destroy(ways["sandbox"].create()) // the volume with the programs is filled once
	for b.Loop() {
		for name, by := range ways {
			var id string
			first[name] = append(first[name], took(func() { id = by.create(); by.run(id) }))
			end[name] = append(end[name], took(func() { by.destroy(id) }))
		}
	}
	b.ReportMetric(float64(median(first["engine"]).Milliseconds()), "engine-ms-to-output")
	b.ReportMetric(float64(median(first["sandbox"]).Milliseconds()), "ms-to-output")
	b.ReportMetric(float64(median(first["sandbox"]))/float64(median(first["engine"])), "x-to-output")
	b.ReportMetric(float64(median(end["engine"]).Milliseconds()), "engine-ms-to-end")
	b.ReportMetric(float64(median(end["sandbox"]).Milliseconds()), "ms-to-end")
	b.ReportMetric(float64(median(end["sandbox"]))/float64(median(end["engine"])), "x-to-end")
}

// BenchmarkTwentySandboxes is twenty at once, each created, used and destroyed.
func BenchmarkTwentySandboxes(b *testing.B) {
	w := newWorld(b)
	ways := map[string]way{"engine": floor{b, w.engine}, "sandbox": ours{b, w}}
	ways["sandbox"].destroy(ways["sandbox"].create())
	all := map[string][]time.Duration{}
	for b.Loop() {
		for name, by := range ways {
			all[name] = append(all[name], took(func() {
				var each sync.WaitGroup
				for range 20 {
					each.Go(func() {
						id := by.create()
						by.run(id)
						by.destroy(id)
					})
				}
				each.Wait()
			}))
		}
	}
	b.ReportMetric(median(all["engine"]).Seconds(), "engine-s")
	b.ReportMetric(median(all["sandbox"]).Seconds(), "s")
	b.ReportMetric(float64(median(all["sandbox"]))/float64(median(all["engine"])), "x")
}

// BenchmarkStopOfFiftySandboxes is from a kill switch to the last of fifty that is gone,
// asked for in one pass.
func BenchmarkStopOfFiftySandboxes(b *testing.B) {
	w := newWorld(b)
	guard := sandbox.Guard{Sandbox: w.Docker}
	var all []time.Duration
	for b.Loop() {
		b.StopTimer()
		var each sync.WaitGroup
		for range 50 {
			each.Go(func() { ours{b, w}.create() })
		}
		each.Wait()
		b.StartTimer()
		all = append(all, took(func() {
			ended, err := guard.Stop(context.WithoutCancel(b.Context()), killswitch.Organization("acme", 5))
			if ended != 50 || err != nil {
				b.Errorf("%d ended, %v", ended, err)
			}
		}))
	}
	b.ReportMetric(median(all).Seconds(), "s-to-the-last")
}
