package githubapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

const (
	// archiveTimeout bounds the download of a commit's files, and maxArchive how many
	// bytes they may have, packed.
	archiveTimeout = 5 * time.Minute
	maxArchive     = 512 << 20
)

// Archive writes the files of a commit to w, as a tar archive that is compressed with
// gzip, in one folder. GitHub sends to another host for it, which takes no token: the
// address is good for five minutes.
func (c *Client) Archive(ctx context.Context, repository policy.Repository, commit string, w io.Writer) error {
	client, err := c.rest(repository)
	if err != nil {
		return err
	}
	operation := fmt.Sprintf("get the files of %.7s of %s", commit, repository)
	address, _, err := client.Repositories.GetArchiveLink(ctx, repository.Owner, repository.Name, github.Tarball, &github.RepositoryContentGetOptions{Ref: commit}, 1)
	if err != nil {
		return failed(err, "%s", operation)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, archiveTimeout, fmt.Errorf("%s: it took longer than %s", operation, archiveTimeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return fmt.Errorf("%s: GitHub names no address", operation) // which may hold a token
	}
	answer, err := (&http.Client{Transport: c.creator.calls.next}).Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, hideURL(err))
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return &Error{Operation: operation, Status: answer.StatusCode}
	}
	n, err := io.Copy(w, io.LimitReader(answer.Body, maxArchive+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", operation, err)
	case n > maxArchive:
		return fmt.Errorf("%s: they are more than %d MB, packed", operation, maxArchive>>20)
	default:
		return nil
	}
}

// hideURL is an error without the address that was asked, in which there is a token.
func hideURL(err error) error {
	if failure, is := errors.AsType[*url.Error](err); is {
		return failure.Err
	}
	return err
}
