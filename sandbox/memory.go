package sandbox

import (
	"bytes"
	"context"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Program is what a command in a [MemorySandbox] does: it returns the exit code, or
// [NoProgram], and must return when ctx ends. files are those that were put there, by
// their paths.
type Program func(ctx context.Context, files map[string][]byte, command Command, stdout, stderr io.Writer) int

// NoProgram is what a [Program] returns for a command that it does not know.
const NoProgram = -1

// MemorySandbox is a [Sandbox] that runs nothing: a [Program] answers commands, and files
// are kept in memory.
type MemorySandbox struct {
	now func() time.Time
	run Program

	turns Turns

	mu      sync.Mutex
	created map[string]*memorySandbox
}

type memorySandbox struct {
	instance Instance
	files    map[string]memoryFile
	// alive ends with it.
	alive context.Context
	end   context.CancelFunc
}

type memoryFile struct {
	content    []byte
	executable bool
}

var _ Sandbox = (*MemorySandbox)(nil)

// NewMemorySandbox returns one in which run answers commands.
func NewMemorySandbox(now func() time.Time, run Program) *MemorySandbox {
	return &MemorySandbox{now: now, run: run, created: map[string]*memorySandbox{}}
}

const memoryProvider = "memory"

// Create starts a sandbox.
func (m *MemorySandbox) Create(_ context.Context, spec Spec) (Instance, error) {
	if err := spec.Check(); err != nil {
		return Instance{}, err
	}
	if spec.Constraints.Runtime != "" {
		return Instance{}, &UnsupportedError{memoryProvider, "runtime", "it isolates nothing, because it runs nothing"}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	if there, known := m.created[spec.ID]; known {
		return there.instance, nil
	}
	alive, end := context.WithCancel(context.Background())
	box := &memorySandbox{instance: spec.Instance(memoryProvider, m.now()), files: map[string]memoryFile{}, alive: alive, end: end}
	box.instance.Status = StatusRunning
	m.created[spec.ID] = box
	return box.instance, nil
}

// expire ends those whose time is over.
func (m *MemorySandbox) expire() {
	for id, box := range m.created {
		if !m.now().Before(box.instance.Deadline) {
			box.end()
			delete(m.created, id)
		}
	}
}

func (m *MemorySandbox) find(id string) (*memorySandbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	if box, known := m.created[id]; known {
		return box, nil
	}
	return nil, ErrUnknown
}

// Status tells of a sandbox.
func (m *MemorySandbox) Status(_ context.Context, id string) (Instance, error) {
	box, err := m.find(id)
	if err != nil {
		return Instance{}, err
	}
	return box.instance, nil
}

// List lists the sandboxes by their ids.
func (m *MemorySandbox) List(context.Context) ([]Instance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	var all []Instance
	for _, id := range slices.Sorted(maps.Keys(m.created)) {
		all = append(all, m.created[id].instance)
	}
	return all, nil
}

// Execute has the program answer a command.
func (m *MemorySandbox) Execute(ctx context.Context, id string, command Command) (Result, error) {
	if err := command.Check(); err != nil {
		return Result{}, err
	}
	box, err := m.find(id)
	if err != nil {
		return Result{}, err
	}
	command = command.Bounded()
	if command.Stdin == nil {
		command.Stdin = strings.NewReader("")
	}
	release, err := m.turns.Take(ctx, id)
	if err != nil {
		return Result{}, err
	}
	defer release()
	run := command.Begin(ctx)
	defer run.End()
	defer context.AfterFunc(box.alive, run.End)()
	code := m.run(run.Context(), m.contents(box), command, run.Stdout, run.Stderr)
	switch {
	case code == NoProgram:
		return Result{}, command.NotStarted("there is no such program")
	case box.alive.Err() != nil:
		return Result{}, ErrUnknown
	case run.Over():
		return run.Killed(), ctx.Err()
	default:
		return run.Result(code), nil
	}
}

// contents are the files as they are now.
func (m *MemorySandbox) contents(box *memorySandbox) map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	files := map[string][]byte{}
	for name, file := range box.files {
		files[name] = file.content
	}
	return files
}

// Put keeps the archive's files.
func (m *MemorySandbox) Put(_ context.Context, id, folder string, archive io.Reader) error {
	box, err := m.find(id)
	if err != nil {
		return err
	}
	files := map[string]memoryFile{}
	err = ReadArchive(archive, DefaultLimits, func(entry Entry) error {
		if entry.Folder {
			return nil
		}
		content, err := io.ReadAll(entry.Content)
		files[entry.Name] = memoryFile{content, entry.Executable}
		return err
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, file := range files {
		box.files[path.Join(folder, name)] = file
	}
	return nil
}

// Get packs what was put at or below the path.
func (m *MemorySandbox) Get(_ context.Context, id, from string, archive io.Writer) error {
	box, err := m.find(id)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	w := NewArchiveWriter(archive)
	found := false
	for _, name := range slices.Sorted(maps.Keys(box.files)) {
		rest, below := strings.CutPrefix(name, from+"/")
		switch {
		case name == from:
			rest = path.Base(name)
		case !below:
			continue
		}
		found = true
		file := box.files[name]
		if err := w.Add(Entry{Name: rest, Executable: file.executable, Size: int64(len(file.content)), Content: bytes.NewReader(file.content)}); err != nil {
			return err
		}
	}
	if !found {
		return &ArchiveError{from, "is not there"}
	}
	return w.Close()
}

// Destroy ends a sandbox.
func (m *MemorySandbox) Destroy(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if box, known := m.created[id]; known {
		box.end()
		delete(m.created, id)
	}
	return nil
}
