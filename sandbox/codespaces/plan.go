package codespaces

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/portcullis-app/portcullis/sandbox"
)

const (
	mebibyte = 1 << 20
	// sweepsWithin is how many sweeps there are to be in the life of a sandbox: one that
	// is shorter would outlive its deadline by too great a part of it.
	sweepsWithin = 2
)

// unenforced refuses what no codespace can be held to. It asks nobody.
func (c *Codespaces) unenforced(spec sandbox.Spec) error {
	asked := spec.Constraints
	switch {
	case asked.Network != sandbox.NetworkFull:
		return unsupported("network", "a codespace reaches every public address, so that %q is more than it can promise; it takes network: full", cmp.Or(asked.Network, sandbox.NetworkNone))
	case asked.DiskMB != 0:
		return unsupported("disk_mb", "the disk of a codespace comes with its machine")
	case len(asked.AllowedPaths) != 0:
		return unsupported("allowed_paths", "what runs in a codespace may write everywhere in it")
	case len(asked.Credentials) != 0:
		return unsupported("credentials", "a codespace goes its own way to every host: nobody could give them there")
	case asked.Runtime != "":
		return unsupported("runtime", "a codespace is a machine of GitHub's, of one kind")
	case spec.Image != "":
		return unsupported("image", "a codespace runs the image of the repository's devcontainer")
	case asked.Lifetime() < sweepsWithin*c.config.SweepEvery:
		return unsupported("timeout", "GitHub ends nothing at a deadline, and Portcullis looks every %s; it takes %s at least", c.config.SweepEvery, sweepsWithin*c.config.SweepEvery)
	}
	return nil
}

// machineFor is the smallest machine that is what the constraints say. A machine has what
// it has: one with more than asked for would not hold what runs there to its limit, and
// one with less would not be what was asked for. What is left at zero is any.
func machineFor(asked sandbox.SandboxConstraints, offered []Machine) (Machine, error) {
	bySize := slices.SortedFunc(slices.Values(offered), func(a, b Machine) int {
		return cmp.Or(cmp.Compare(a.CPUs, b.CPUs), cmp.Compare(a.MemoryBytes, b.MemoryBytes))
	})
	if len(bySize) == 0 {
		return Machine{}, &RefusedError{Why: "no machine may be had for the repository; the organization's settings say which types are allowed"}
	}
	fits := func(field string, wanted int, has func(Machine) int) error {
		if wanted == 0 {
			return nil
		}
		left := slices.DeleteFunc(slices.Clone(bySize), func(m Machine) bool { return has(m) != wanted })
		if len(left) > 0 {
			bySize = left
			return nil
		}
		var sizes []string
		for _, m := range bySize {
			if size := fmt.Sprint(has(m)); !slices.Contains(sizes, size) {
				sizes = append(sizes, size)
			}
		}
		return unsupported(field, "a codespace has the whole of its machine: there is none with %d, but with %s", wanted, strings.Join(sizes, ", "))
	}
	if err := fits("memory_mb", asked.MemoryMB, func(m Machine) int { return int(m.MemoryBytes / mebibyte) }); err != nil {
		return Machine{}, err
	}
	if err := fits("cpu_percent", asked.CPUPercent, func(m Machine) int { return m.CPUs * 100 }); err != nil {
		return Machine{}, err
	}
	return bySize[0], nil
}
