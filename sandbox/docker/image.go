package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/client"
)

// Import makes an image of programs and nothing else, by their paths, and returns its id.
// It needs no registry: an operator's images come from theirs.
func (d *Docker) Import(ctx context.Context, programs map[string][]byte) (image string, _ error) {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	headers := []tar.Header{{Typeflag: tar.TypeDir, Name: "etc/", Mode: 0o755}, {Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o777}}
	for _, at := range slices.Sorted(maps.Keys(programs)) {
		headers = append(headers, tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(path.Clean(at), "/"), Mode: 0o755, Size: int64(len(programs[at]))})
	}
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			return "", err
		}
		if _, err := w.Write(programs["/"+h.Name]); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	imported, err := d.engine.ImageImport(ctx, client.ImageImportSource{Source: &files, SourceName: "-"}, "", client.ImageImportOptions{})
	if err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	defer func() { _ = imported.Close() }()
	var last struct{ Status, Error string }
	for told := json.NewDecoder(imported); ; {
		switch err := told.Decode(&last); {
		case errors.Is(err, io.EOF) && pinned.MatchString(last.Status):
			return last.Status, nil
		case errors.Is(err, io.EOF):
			return "", fmt.Errorf("make an image: the engine says %q", last.Status)
		case err != nil:
			return "", fmt.Errorf("make an image: %w", err)
		case last.Error != "":
			return "", fmt.Errorf("make an image: the engine says %q", last.Error)
		}
	}
}

// checkImage refuses an image that the engine does not have, and one that brings what only
// Portcullis gives: volumes, each of which the engine makes a folder that can be written, on
// a disk that nobody limits; and labels, which its containers would have.
func (d *Docker) checkImage(ctx context.Context, image string) error {
	d.mu.Lock()
	checked := d.images[image]
	d.mu.Unlock()
	if checked {
		return nil // its content cannot change
	}
	found, err := d.engine.ImageInspect(ctx, image)
	if err != nil {
		return missing(image, err)
	}
	if config := found.Config; config != nil && len(config.Volumes) > 0 {
		return refused("image", "it has volumes (%s), which can be written without a limit; build one without VOLUME", strings.Join(slices.Sorted(maps.Keys(config.Volumes)), ", "))
	}
	if config := found.Config; config != nil {
		for _, label := range slices.Sorted(maps.Keys(config.Labels)) {
			if strings.HasPrefix(label, labelPrefix) {
				return refused("image", "it has the label %s, as only Portcullis' own have; build one without", label)
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.images[image] = true
	return nil
}

// Forget removes an image that was imported.
func (d *Docker) Forget(ctx context.Context, image string) error {
	_, err := d.engine.ImageRemove(ctx, image, client.ImageRemoveOptions{Force: true})
	return err
}
