package githubsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// PropertySpec is the definition of a custom property of an organization's repositories.
type PropertySpec struct {
	Name          string
	Type          string   // string, single_select, multi_select, true_false or url; by default string
	Allowed       []string // of the selects
	Default       string   // what a repository has that was given no value
	EditableByAll bool     // by people and Apps of the repository too, not only of the organization
}

var propertyTypes = []string{"string", "single_select", "multi_select", "true_false", "url"}

// CreateProperty defines a custom property of the organization, and tells nobody.
func (o *Organization) CreateProperty(spec PropertySpec) {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	if spec.Type == "" {
		spec.Type = "string"
	}
	if !slices.Contains(propertyTypes, spec.Type) || spec.Name == "" || o.propertyNamed(spec.Name) != nil {
		panic(fmt.Sprintf("githubsim: property %q is taken, has no name or is of no known type", spec.Name))
	}
	o.properties = append(o.properties, &spec)
}

// SetProperty gives the repository a value of a custom property, or takes it away when there is none, as an owner of the organization
// does, or an admin of the repository where the property lets them. Rulesets follow at once; Apps hear custom_property_values.updated.
func (r *Repository) SetProperty(by *User, name string, values ...string) error {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	spec := r.org.propertyNamed(name)
	switch {
	case spec == nil:
		return noSuchProperty(name)
	case !r.org.owners[by.id] && (r.role(by) < roleAdmin || !spec.EditableByAll):
		return refuse(http.StatusForbidden, "You do not have permission to edit the values of this property.")
	}
	if err := spec.check(values); err != nil {
		return err
	}
	r.setProperties(by, map[string][]string{spec.Name: values})
	return nil
}

// Property is the repository's values of a custom property, the default if it was given none.
func (r *Repository) Property(name string) []string {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return slices.Clone(r.property(name))
}

func (r *Repository) property(name string) []string {
	spec := r.org.propertyNamed(name)
	if spec == nil {
		return nil
	}
	if have := r.properties[spec.Name]; len(have) > 0 || spec.Default == "" {
		return have
	}
	return []string{spec.Default}
}

func (o *Organization) propertyNamed(name string) *PropertySpec {
	if o == nil {
		return nil
	}
	for _, spec := range o.properties {
		if strings.EqualFold(spec.Name, name) {
			return spec
		}
	}
	return nil
}

// check says what is wrong with values; none takes the value away.
func (spec *PropertySpec) check(values []string) error {
	allowed := spec.Allowed
	if spec.Type == "true_false" {
		allowed = []string{"true", "false"}
	}
	for _, v := range values {
		if len(allowed) > 0 && !slices.Contains(allowed, v) {
			return unprocessable(fmt.Sprintf("Property %q: %q is not an allowed value.", spec.Name, v))
		}
	}
	if len(values) > 1 && spec.Type != "multi_select" {
		return unprocessable(fmt.Sprintf("Property %q takes one value.", spec.Name))
	}
	return nil
}

func noSuchProperty(name string) error {
	return unprocessable(fmt.Sprintf("Property %q is not defined.", name))
}

// setProperties changes values, which the caller has checked, and tells Apps of those that are others than before.
func (r *Repository) setProperties(by *User, to map[string][]string) {
	var was, now []obj
	for _, name := range sortedKeys(to) {
		spec := r.org.propertyNamed(name)
		before := r.property(spec.Name)
		if r.properties == nil {
			r.properties = map[string][]string{}
		}
		r.properties[spec.Name] = slices.Clone(to[name])
		if after := r.property(spec.Name); !slices.Equal(before, after) {
			was, now = append(was, spec.valueJSON(before)), append(now, spec.valueJSON(after))
		}
	}
	if len(now) == 0 {
		return
	}
	r.sim.tick()
	r.sim.emit(r, "custom_property_values", "updated", by, obj{"new_property_values": now, "old_property_values": was})
}

func (spec *PropertySpec) value(values []string) any {
	switch {
	case spec.Type == "multi_select" && len(values) > 0:
		return slices.Clone(values)
	case len(values) > 0:
		return values[0]
	}
	return nil
}

func (spec *PropertySpec) valueJSON(values []string) obj {
	return obj{"property_name": spec.Name, "value": spec.value(values)}
}

func (spec *PropertySpec) json(o *Organization) obj {
	out := obj{
		"property_name": spec.Name, "url": o.sim.api("orgs/%s/properties/schema/%s", o.login, spec.Name), "source_type": "organization",
		"value_type": spec.Type, "required": spec.Default != "", "default_value": text(spec.Default), "description": nil, "allowed_values": nil,
		"values_editable_by": "org_actors",
	}
	if len(spec.Allowed) > 0 {
		out["allowed_values"] = slices.Clone(spec.Allowed)
	}
	if spec.EditableByAll {
		out["values_editable_by"] = "org_and_repo_actors"
	}
	return out
}

// propertyValues are the values that the repository has.
func (r *Repository) propertyValues() []obj {
	list := []obj{}
	if r.org != nil {
		for _, spec := range r.org.properties {
			if have := r.property(spec.Name); len(have) > 0 {
				list = append(list, spec.valueJSON(have))
			}
		}
	}
	return list
}

// propertiesJSON is the same, as a repository has it.
func (r *Repository) propertiesJSON() obj {
	out := obj{}
	for _, v := range r.propertyValues() {
		name, _ := v["property_name"].(string)
		out[name] = v["value"]
	}
	return out
}
