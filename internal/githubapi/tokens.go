package githubapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

const (
	// tokenLife is how long GitHub lets an installation token live, and clockSlack by
	// how much its own clocks may differ.
	tokenLife  = time.Hour
	clockSlack = time.Minute
	// knownAfter is how old a token is that each part of GitHub knows: until then one
	// that is refused may be good elsewhere. It is asked again after firstPause, and
	// after twice as long each time up to lastPause.
	knownAfter = 10 * time.Second
	firstPause = time.Second
	lastPause  = 4 * time.Second
	// answerSize is how much of the answer about a token is read.
	answerSize = 1 << 20
)

// MintToken makes an installation token that reaches the repository alone, with those
// permissions, as "contents": "read". It is signed for by the App's key, goes to nobody
// but the caller, and is none of those that the client itself asks with. One that GitHub
// made for more than was asked is ended again, and is an error.
func (c *Client) MintToken(ctx context.Context, repository policy.Repository, permissions map[string]string) (token string, expires time.Time, err error) {
	operation := fmt.Sprintf("make a token for %s with %s, which the App must have itself", repository, describe(permissions))
	if repository.Installation == 0 {
		return "", time.Time{}, fmt.Errorf("%s: %w", operation, ErrNoInstallation)
	}
	if repository.ID == 0 || len(permissions) == 0 {
		// GitHub would take nothing for everything.
		return "", time.Time{}, fmt.Errorf("%s: a token is for a repository and for something", operation)
	}
	asked, err := tokenPermissions(permissions)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("%s: %w", operation, err)
	}
	heard := &answerOf{next: c.creator.outgoing(repository.Installation)}
	signing, err := ghinstallation.New(heard, c.appID, repository.Installation, []byte(c.creator.config.App.PrivateKey))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read github.app.private_key: %w", err)
	}
	signing.BaseURL = strings.TrimSuffix(c.creator.config.V3APIURL, "/")
	signing.InstallationTokenOptions = &github.InstallationTokenOptions{RepositoryIDs: []int64{repository.ID}, Permissions: asked}

	minting, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if token, err = signing.Token(minting); err != nil {
		return "", time.Time{}, &Error{Operation: operation, Status: heard.status, cause: limitIn(err)}
	}
	granted, err := heard.granted()
	if err == nil {
		err = granted.exceeds(repository.ID, permissions)
	}
	if err != nil {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		return "", time.Time{}, errors.Join(fmt.Errorf("%s: %w", operation, err), c.RevokeToken(ending, repository.Installation, token, c.options.Now()))
	}
	return token, granted.ExpiresAt, nil
}

// RevokeToken ends an installation token, which was made at that time. It is asked with
// that token itself; that GitHub does not take it any more is no error, once it is old
// enough that GitHub took it at all.
func (c *Client) RevokeToken(ctx context.Context, installation int64, token string, made time.Time) error {
	for pause := firstPause; ; pause *= 2 {
		err := c.endToken(ctx, installation, token)
		refused, known := statusOf(err), !c.options.Now().Before(made.Add(knownAfter))
		switch {
		case err == nil, refused == http.StatusUnauthorized && known:
			return nil
		case refused != http.StatusUnauthorized && refused != http.StatusForbidden, limitIn(err) != nil, known, pause > lastPause:
			return err
		}
		if waited := c.options.Wait(ctx, pause); waited != nil {
			return errors.Join(err, waited)
		}
	}
}

func (c *Client) endToken(ctx context.Context, installation int64, token string) error {
	const operation = "end an installation token"
	client := github.NewClient(&http.Client{Transport: c.creator.outgoing(installation), Timeout: callTimeout})
	base, err := url.Parse(c.creator.config.V3APIURL)
	if err != nil {
		return fmt.Errorf("read github.v3_api_url: %w", err)
	}
	client.BaseURL, client.UserAgent = base, c.options.UserAgent
	request, err := client.NewRequest(http.MethodDelete, "installation/token", nil)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	request.Header.Set("Authorization", "token "+token)
	_, err = client.Do(ctx, request, nil)
	if err == nil {
		return nil
	}
	// go-github's error has the request in it, and with it the token.
	return &Error{Operation: operation, Status: statusOf(err), cause: limitIn(err)}
}

// limitIn is the limit that an error is of, without whatever else is in it, or nil.
func limitIn(err error) error {
	if limit, is := errors.AsType[*LimitError](err); is {
		return limit
	}
	return nil
}

// describe lists permissions, as "contents:read and issues:read".
func describe(permissions map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(permissions)) {
		list = append(list, name+":"+permissions[name])
	}
	return strings.Join(list, " and ")
}

// tokenPermissions puts permissions into go-github's type. It is an error for one that
// has no field there: it would not be asked for.
func tokenPermissions(permissions map[string]string) (*github.InstallationPermissions, error) {
	text, err := json.Marshal(permissions)
	if err != nil {
		return nil, err
	}
	asked := &github.InstallationPermissions{}
	fields := json.NewDecoder(bytes.NewReader(text))
	fields.DisallowUnknownFields()
	if err := fields.Decode(asked); err != nil {
		return nil, fmt.Errorf("one of the permissions cannot be asked for: %w", err)
	}
	return asked, nil
}

// answerOf keeps the last answer: ghinstallation reads of it only what go-github has
// fields for, so that it would not show a permission that was granted unasked.
type answerOf struct {
	next http.RoundTripper

	status int
	body   []byte
	at     string
}

// RoundTrip makes the call and reads its answer to the end.
func (a *answerOf) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := a.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, answerSize))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("read an answer: %w", err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	a.status, a.body, a.at = response.StatusCode, body, response.Header.Get("Date")
	return response, nil
}

// granted is what the answer says that the token is for.
func (a *answerOf) granted() (grant, error) {
	var g grant
	if err := json.Unmarshal(a.body, &g); err != nil {
		// The error of the parser would show what it read.
		return grant{}, errors.New("GitHub's answer cannot be read")
	}
	var err error
	if g.at, err = http.ParseTime(a.at); err != nil {
		return grant{}, errors.New("GitHub's answer has no date")
	}
	return g, nil
}

// grant is what GitHub says that a token is for, and when it said so.
type grant struct {
	ExpiresAt    time.Time         `json:"expires_at"`
	Selection    string            `json:"repository_selection"`
	Permissions  map[string]string `json:"permissions"`
	Repositories []struct {
		ID int64 `json:"id"`
	} `json:"repositories"`

	at time.Time
}

// exceeds is an error if the token is for more than was asked for. What everybody may
// read of a repository comes with every token.
func (g grant) exceeds(repository int64, asked map[string]string) error {
	if g.Selection != "selected" || len(g.Repositories) != 1 || g.Repositories[0].ID != repository {
		return errors.New("GitHub made one for other repositories")
	}
	for name, level := range g.Permissions {
		switch {
		case level == asked[name], level == "read" && (asked[name] == "write" || name == "metadata"):
		default:
			return fmt.Errorf("GitHub made one with %s:%s, which was not asked for", name, level)
		}
	}
	if g.ExpiresAt.IsZero() || g.ExpiresAt.After(g.at.Add(tokenLife+clockSlack)) {
		return errors.New("GitHub made one that lives for longer than an hour")
	}
	return nil
}
