package githubapi

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/go-github/v60/github"
)

// call makes a call that go-github has no method for, or whose types it has not.
// body and into may be nil.
func call(ctx context.Context, client *github.Client, method, address string, body, into any) error {
	request, err := client.NewRequest(method, address, body)
	if err != nil {
		return err
	}
	_, err = client.Do(ctx, request, into)
	return err
}

// get reads what go-github has no type for.
func get(ctx context.Context, client *github.Client, address string, into any) error {
	return call(ctx, client, http.MethodGet, address, nil, into)
}

// list reads a list to its end that go-github has no type for.
func list[T any](ctx context.Context, client *github.Client, address string, query url.Values) ([]T, error) {
	return pages(ctx, func(ctx context.Context, options *github.ListOptions) ([]T, *github.Response, error) {
		asked := url.Values{"per_page": {strconv.Itoa(options.PerPage)}}
		maps.Copy(asked, query)
		if options.Page > 0 {
			asked.Set("page", strconv.Itoa(options.Page))
		}
		request, err := client.NewRequest(http.MethodGet, address+"?"+asked.Encode(), nil)
		if err != nil {
			return nil, nil, err
		}
		var page []T
		response, err := client.Do(ctx, request, &page)
		return page, response, err
	})
}
