package githubsim

import (
	"path"
	"slices"
	"strconv"
)

// target says which repositories an organization's ruleset is for: one of its three is set. The zero target is all.
type target struct {
	Name     *nameCondition     `json:"repository_name"`
	ID       *idCondition       `json:"repository_id"`
	Property *propertyCondition `json:"repository_property"`
}

type nameCondition struct {
	Include   []string `json:"include"`
	Exclude   []string `json:"exclude"`
	Protected *bool    `json:"protected"`
}

type idCondition struct {
	RepositoryIDs []int64 `json:"repository_ids"`
}

type propertyCondition struct {
	Include []propertySpec `json:"include"`
	Exclude []propertySpec `json:"exclude"`
}

type propertySpec struct {
	Name   string   `json:"name"`
	Values []string `json:"property_values"`
	Source string   `json:"source"`
}

// kinds counts what is set.
func (t target) kinds() int {
	n := 0
	for _, set := range []bool{t.Name != nil, t.ID != nil, t.Property != nil} {
		if set {
			n++
		}
	}
	return n
}

// has says whether the ruleset is for that repository.
func (t target) has(r *Repository) bool {
	switch {
	case t.Name != nil:
		match := func(pattern string) bool {
			matched, err := path.Match(pattern, r.name)
			return pattern == "~ALL" || matched && err == nil
		}
		return slices.ContainsFunc(t.Name.Include, match) && !slices.ContainsFunc(t.Name.Exclude, match)
	case t.ID != nil:
		return slices.Contains(t.ID.RepositoryIDs, r.id)
	case t.Property != nil:
		for _, spec := range t.Property.Include {
			if !r.hasProperty(spec) {
				return false
			}
		}
		return !slices.ContainsFunc(t.Property.Exclude, r.hasProperty)
	}
	return true
}

// hasProperty says whether one of the values that are asked for is the repository's. Of the system's properties there are fork and
// visibility.
func (r *Repository) hasProperty(spec propertySpec) bool {
	have := r.property(spec.Name)
	if spec.Source == "system" {
		switch spec.Name {
		case "fork":
			have = []string{strconv.FormatBool(r.parent != nil)}
		case "visibility":
			have = []string{r.visibility()}
		default:
			return false
		}
	}
	return slices.ContainsFunc(have, func(v string) bool { return slices.Contains(spec.Values, v) })
}

// json fills the target into a ruleset's conditions; an organization's ruleset without one is for all.
func (t target) json(conditions obj) {
	strings := func(list []string) []string { return append([]string{}, list...) }
	specs := func(list []propertySpec) []obj {
		return each(list, func(s propertySpec) obj {
			out := obj{"name": s.Name, "property_values": strings(s.Values), "source": "custom"}
			if s.Source != "" {
				out["source"] = s.Source
			}
			return out
		})
	}
	switch {
	case t.ID != nil:
		conditions["repository_id"] = obj{"repository_ids": append([]int64{}, t.ID.RepositoryIDs...)}
	case t.Property != nil:
		conditions["repository_property"] = obj{"include": specs(t.Property.Include), "exclude": specs(t.Property.Exclude)}
	case t.Name != nil:
		out := obj{"include": strings(t.Name.Include), "exclude": strings(t.Name.Exclude)}
		if t.Name.Protected != nil {
			out["protected"] = *t.Name.Protected
		}
		conditions["repository_name"] = out
	default:
		conditions["repository_name"] = obj{"include": []string{"~ALL"}, "exclude": []string{}}
	}
}
