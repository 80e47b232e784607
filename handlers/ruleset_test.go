package handlers

import (
	"slices"
	"testing"
)

// GitHub may list all properties of a repository, or those alone that changed.
func TestWhichPropertiesChanged(t *testing.T) {
	for name, c := range map[string]struct {
		payload string
		want    []string
	}{
		"one of two": {`{"old_property_values":[{"property_name":"a","value":"x"},{"property_name":"b","value":null}],
			"new_property_values":[{"property_name":"a","value":"x"},{"property_name":"b","value":"true"}]}`, []string{"b"}},
		"one that is new":         {`{"old_property_values":[],"new_property_values":[{"property_name":"b","value":"true"}]}`, []string{"b"}},
		"one that was taken away": {`{"old_property_values":[{"property_name":"b","value":"true"}],"new_property_values":[]}`, []string{"b"}},
		"a list": {`{"old_property_values":[{"property_name":"c","value":["x","y"]}],
			"new_property_values":[{"property_name":"c","value":["x"]}]}`, []string{"c"}},
		"the same list": {`{"old_property_values":[{"property_name":"c","value":["x"]}],"new_property_values":[{"property_name":"c","value":["x"]}]}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := parse[properties]([]byte(c.payload))
			if err != nil {
				t.Fatal(err)
			}
			if got := e.changed(); !slices.Equal(got, c.want) {
				t.Errorf("changed are %q, want %q", got, c.want)
			}
		})
	}
}
