package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Fault is one mistake in a policy file. Line and Column count from 1; columns
// are characters, not bytes.
type Fault struct {
	File         string
	Line, Column int
	// Message is one sentence that says what is wrong and how to mend it.
	Message string
}

// String is the fault as `file:line:column: message`.
func (f Fault) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// Faults are the mistakes of one policy file, in the order of the file. As an
// error they are told one a line. There are at most a little over a hundred;
// the last one says so if the file has more.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// ParsePolicyFile reads a policy file strictly: what it does not know, it
// refuses. Fields that the file leaves out have the values of [DefaultPolicy].
// name is only used in faults. The error is [Faults] with at least one fault,
// and the PolicyFile is then zero. No content makes it panic or run for long.
func ParsePolicyFile(name string, content []byte) (PolicyFile, error) {
	return parsePolicy(name, content, DefaultPolicy())
}

// parsePolicy lays the content over file, whose fields it replaces.
func parsePolicy(name string, content []byte, file PolicyFile) (PolicyFile, error) {
	r := &reader{name: name}
	if root, ok := r.document(content); ok {
		r.policy(root, &file)
	}
	if faults := r.inOrder(); len(faults) > 0 {
		return PolicyFile{}, faults
	}
	return file, nil
}

// policy reads the whole file: the table of its sections.
func (r *reader) policy(v value, file *PolicyFile) {
	var sandbox value
	given := r.mapping(v,
		field{"version", r.version},
		field{"classify", func(v value) { r.classify(v, &file.Classify) }},
		field{"tiers", func(v value) { r.tiers(v, file.Tiers) }},
		field{"approval", func(v value) { r.approval(v, &file.Approval) }},
		field{"kill_switch", func(v value) { r.killSwitch(v, &file.KillSwitch) }},
		field{"credentials", func(v value) { file.Credentials = r.credentials(v) }},
		field{"sandbox", func(v value) { sandbox = v; file.Sandbox = r.sandbox(v) }},
	)
	if file.Sandbox != nil && len(file.Credentials) > 0 {
		for _, name := range slices.Sorted(maps.Values(file.Sandbox.Credentials)) {
			if _, named := file.Credentials[name]; !named {
				r.lacking(sandbox, fmt.Sprintf("gives a credential %s, which the file does not name under `credentials:`", quote(name)))
			}
		}
	}
	if given != nil && !given["version"] {
		r.fault(1, 1, "version is missing; begin the file with `version: 1`")
	}
}

func (r *reader) version(v value) {
	if n, ok := wholeNumber(v.node); !ok || n != 1 {
		r.wrong(v, "must be the number 1, the only version there is, not %s", describe(v.node))
	}
}

// inOrder returns the faults in the order of the file, each place and message
// once.
func (r *reader) inOrder() Faults {
	slices.SortStableFunc(r.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	faults := slices.Compact(r.faults)
	if r.tooMany {
		last := faults[len(faults)-1]
		last.Message = "there are more mistakes than can be listed; mend these first"
		faults = append(faults, last)
	}
	return faults
}
