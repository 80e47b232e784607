package contract

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// route is one path template of the description.
type route struct {
	template string
	segments []string
	literals int
	multi    int // the index of the parameter that takes several segments, or -1
}

func (j *Judge) allRoutes() (map[string][]route, error) {
	routes := map[string][]route{}
	for template, operations := range j.paths {
		names, err := j.multiSegment(operations)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", template, err)
		}
		if strings.Contains(template, "}.") {
			continue // compare/{base}...{head}, an addition of @octokit/openapi; GitHub's own is compare/{basehead}
		}
		r := route{template: template, segments: strings.Split(strings.TrimPrefix(template, "/"), "/"), multi: -1}
		for i, segment := range r.segments {
			if name, ok := parameter(segment); !ok {
				r.literals++
			} else if names[name] {
				r.multi = i
			}
		}
		routes[r.segments[0]] = append(routes[r.segments[0]], r)
	}
	return routes, nil
}

// multiSegment names the path parameters that may hold slashes: GitHub marks
// them with x-multi-segment.
func (j *Judge) multiSegment(operations map[string]json.RawMessage) (map[string]bool, error) {
	names := map[string]bool{}
	for _, raw := range operations {
		var operation struct {
			Parameters []parameterSpec `json:"parameters"`
		}
		if err := json.Unmarshal(raw, &operation); err != nil {
			return nil, err
		}
		for _, p := range operation.Parameters {
			if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
				if err := json.Unmarshal(j.components["parameters"][name], &p); err != nil {
					return nil, err
				}
			}
			if p.Multi && p.In == "path" {
				names[p.Name] = true
			}
		}
	}
	return names, nil
}

type parameterSpec struct {
	Ref   string `json:"$ref"`
	Name  string `json:"name"`
	In    string `json:"in"`
	Multi bool   `json:"x-multi-segment"`
}

func parameter(segment string) (name string, ok bool) {
	if !strings.HasPrefix(segment, "{") || !strings.HasSuffix(segment, "}") {
		return "", false
	}
	return segment[1 : len(segment)-1], true
}

// find returns the path template that fits best, the one with most literals,
// and its parameters. The template is empty if GitHub has no such operation.
func (j *Judge) find(method, escapedPath string) (template string, parameters map[string]string) {
	segments, ok := unescape(escapedPath)
	if !ok {
		return "", nil
	}
	segments = named(segments)
	best := -1
	for _, r := range j.routes[segments[0]] {
		if r.literals <= best {
			continue
		}
		if _, ok := j.paths[r.template][strings.ToLower(method)]; !ok {
			continue
		}
		if fits, ok := r.fit(segments); ok {
			best, template, parameters = r.literals, r.template, fits
		}
	}
	return template, parameters
}

func unescape(escapedPath string) ([]string, bool) {
	segments := strings.Split(strings.TrimPrefix(escapedPath, "/"), "/")
	for i, segment := range segments {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			return nil, false
		}
		segments[i] = plain
	}
	return segments, true
}

// named turns the numbered paths that GitHub's Link headers and team URLs use,
// and that its description does not have, into the named ones.
func named(segments []string) []string {
	switch {
	case len(segments) >= 2 && segments[0] == "repositories":
		return append([]string{"repos", "by-number", segments[1]}, segments[2:]...)
	case len(segments) >= 4 && segments[0] == "organizations" && segments[2] == "team":
		return append([]string{"orgs", "by-number", "teams", segments[3]}, segments[4:]...)
	default:
		return segments
	}
}

// fit matches the segments. A parameter takes one that is not empty; the one
// that takes several may also take the empty end of "contents/", which is the
// root directory.
func (r route) fit(segments []string) (map[string]string, bool) {
	spare := len(segments) - len(r.segments)
	if spare < 0 || spare > 0 && r.multi < 0 {
		return nil, false
	}
	fits := map[string]string{}
	at := 0
	for i, segment := range r.segments {
		taken := segments[at : at+1]
		if i == r.multi {
			taken = segments[at : at+1+spare]
		}
		at += len(taken)
		name, isParameter := parameter(segment)
		if !isParameter {
			if taken[0] != segment {
				return nil, false
			}
			continue
		}
		value := strings.Join(taken, "/")
		if value == "" && i != r.multi {
			return nil, false
		}
		fits[name] = value
	}
	return fits, true
}
