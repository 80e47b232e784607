package remote

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/sandbox"
)

// NewHandler serves the sandboxes. images are those that may run; none: any that the
// provider takes. Who may ask is whoever can open the socket.
func NewHandler(boxes sandbox.Sandbox, images []string, log zerolog.Logger) http.Handler {
	s := &server{boxes: boxes, images: map[string]bool{}, log: log}
	for _, image := range images {
		s.images[image] = true
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET "+ready, s.ready)
	routes.HandleFunc("POST "+root, s.create)
	routes.HandleFunc("GET "+root, s.list)
	routes.HandleFunc("GET "+root+"/{id}", s.status)
	routes.HandleFunc("DELETE "+root+"/{id}", s.destroy)
	routes.HandleFunc("POST "+root+"/{id}/exec", s.execute)
	routes.HandleFunc("PUT "+root+"/{id}/files", s.put)
	routes.HandleFunc("GET "+root+"/{id}/files", s.get)
	return routes
}

type server struct {
	boxes  sandbox.Sandbox
	images map[string]bool
	log    zerolog.Logger
}

func (s *server) create(w http.ResponseWriter, r *http.Request) {
	var spec sandbox.Spec
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&spec); err != nil {
		s.refuse(w, &sandbox.InvalidError{Field: "request", Why: "is not JSON: " + err.Error()})
		return
	}
	if len(s.images) > 0 && !s.images[spec.Image] {
		s.refuse(w, &sandbox.UnsupportedError{Provider: "reaper", Field: "image", Why: "it is none of those that the reaper was started with by --image"})
		return
	}
	is, err := s.boxes.Create(r.Context(), spec)
	s.answer(w, is, err)
}

// ready tells whether one could be started, as far as the provider can tell.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	var err error
	if boxes, tells := s.boxes.(sandbox.Readier); tells {
		err = boxes.Ready(r.Context())
	}
	s.answer(w, struct{}{}, err)
}

func (s *server) list(w http.ResponseWriter, r *http.Request) {
	all, err := s.boxes.List(r.Context())
	s.answer(w, all, err)
}

func (s *server) status(w http.ResponseWriter, r *http.Request) {
	is, err := s.boxes.Status(r.Context(), r.PathValue("id"))
	s.answer(w, is, err)
}

func (s *server) destroy(w http.ResponseWriter, r *http.Request) {
	s.answer(w, struct{}{}, s.boxes.Destroy(r.Context(), r.PathValue("id")))
}

// execute reads the command as one JSON document, and takes what follows for its standard
// input.
func (s *server) execute(w http.ResponseWriter, r *http.Request) {
	decoder := json.NewDecoder(io.LimitReader(r.Body, maxRequest))
	var asked execution
	if err := decoder.Decode(&asked); err != nil {
		s.refuse(w, &sandbox.InvalidError{Field: "request", Why: "is not JSON: " + err.Error()})
		return
	}
	command := sandbox.Command{Argv: asked.Argv, Folder: asked.Folder, Timeout: asked.Timeout, MaxOutput: asked.MaxOutput}
	if asked.Stdin {
		command.Stdin = io.MultiReader(decoder.Buffered(), r.Body)
	}
	// Whoever waits for the answer may go away while standard input is still read.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.refuse(w, err)
		return
	}
	result, err := s.boxes.Execute(r.Context(), r.PathValue("id"), command)
	s.answer(w, asOutcome(result), err)
}

func (s *server) put(w http.ResponseWriter, r *http.Request) {
	s.answer(w, struct{}{}, s.boxes.Put(r.Context(), r.PathValue("id"), r.URL.Query().Get("folder"), r.Body))
}

// get keeps the archive first: an error is no end of an archive.
func (s *server) get(w http.ResponseWriter, r *http.Request) {
	packed, err := os.CreateTemp("", "portcullis-archive-")
	if err != nil {
		s.refuse(w, err)
		return
	}
	defer func() { _ = errors.Join(packed.Close(), os.Remove(packed.Name())) }()
	if err := s.boxes.Get(r.Context(), r.PathValue("id"), r.URL.Query().Get("path"), packed); err != nil {
		s.refuse(w, err)
		return
	}
	if _, err := packed.Seek(0, io.SeekStart); err != nil {
		s.refuse(w, err)
		return
	}
	_, _ = io.Copy(w, packed) // whoever reads it sees where it ends
}

func (s *server) answer(w http.ResponseWriter, value any, err error) {
	if err != nil {
		s.refuse(w, err)
		return
	}
	if err := json.NewEncoder(w).Encode(value); err != nil {
		s.log.Warn().Err(err).Msg("an answer could not be written")
	}
}

func (s *server) refuse(w http.ResponseWriter, err error) {
	f, status := asFailure(err)
	if f.Kind == kindOther {
		s.log.Error().Err(err).Msg("the sandboxes' provider failed")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(f) //nolint:errchkjson // texts alone
}
