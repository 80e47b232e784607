package githubsim

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Machine is a type of machine that codespaces run on.
type Machine struct {
	Name            string
	CPUs            int
	Memory, Storage int64 // bytes
}

const gigabyte = 1 << 30

// machines are those that GitHub offers, the smallest first.
var machines = []Machine{
	{"basicLinux32gb", 2, 8 * gigabyte, 32 * gigabyte},
	{"standardLinux32gb", 4, 16 * gigabyte, 32 * gigabyte},
	{"premiumLinux", 8, 32 * gigabyte, 64 * gigabyte},
	{"largePremiumLinux", 16, 64 * gigabyte, 128 * gigabyte},
}

func (m Machine) json() obj {
	return obj{
		"name": m.Name, "operating_system": "linux", "cpus": m.CPUs, "memory_in_bytes": m.Memory, "storage_in_bytes": m.Storage,
		"display_name":          fmt.Sprintf("%d cores, %d GB RAM, %d GB storage", m.CPUs, m.Memory/gigabyte, m.Storage/gigabyte),
		"prebuild_availability": "none",
	}
}

// CodespacePolicy is what an organization's settings say of codespaces. The limits are for those that it pays for.
type CodespacePolicy struct {
	PaidByUsers   bool          // every codespace is its maker's: the organization neither pays nor has a say
	Machines      []string      // the types that are allowed; nil: all
	MostIdle      time.Duration // no codespace idles longer before it stops; 0: as long as its maker likes
	MostRetention time.Duration // none is kept stopped for longer; 0: as long as its maker likes
}

// SetCodespacePolicy changes the organization's settings. MostIdle counts for codespaces that exist from their next start, MostRetention
// not at all, and types that are not allowed any more do not start again.
func (o *Organization) SetCodespacePolicy(p CodespacePolicy) {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	o.codespaces = p
}

// CodespaceKnobs make codespaces slow and ill-tempered. How long something takes counts from when it is asked for; 0 is some seconds.
type CodespaceKnobs struct {
	Create, Start, Stop, Delete time.Duration
	Retry                       bool // creations fail in part and are tried again in the background: 202, and twice as long
	Fail                        bool // what is created ends as Failed
	// Tunnel is what GitHub tells its own command line of the tunnel to a codespace of that name, without documenting it; nil: nothing.
	Tunnel func(name string) map[string]any
}

// SetCodespaceKnobs puts them in force, for what is asked from now on.
func (s *Sim) SetCodespaceKnobs(k CodespaceKnobs) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codespaceKnobs = k
}

func (k CodespaceKnobs) create() time.Duration { return orSeconds(k.Create, 10) }
func (k CodespaceKnobs) start() time.Duration  { return orSeconds(k.Start, 5) }
func (k CodespaceKnobs) stop() time.Duration   { return orSeconds(k.Stop, 5) }
func (k CodespaceKnobs) remove() time.Duration { return orSeconds(k.Delete, 5) }

func orSeconds(d time.Duration, seconds int) time.Duration {
	if d == 0 {
		return time.Duration(seconds) * time.Second
	}
	return d
}

// payer is who pays for a codespace of u's: the organization, for its members and collaborators, in its repositories and their forks,
// unless it leaves that to them. Everybody else pays for their own.
func (r *Repository) payer(u *User) *account {
	base := r
	if r.org == nil && r.parent != nil {
		base = r.parent
	}
	o := base.org
	if o == nil || o.codespaces.PaidByUsers {
		return &u.account
	}
	if o.isMember(u) || base.roles[u.id] != roleNone || base.teamRole(u) != roleNone {
		return &o.account
	}
	return &u.account
}

// policyOf is the policy of who pays; a person has none.
func (s *Sim) policyOf(payer *account) CodespacePolicy {
	for _, o := range s.orgs {
		if &o.account == payer {
			return o.codespaces
		}
	}
	return CodespacePolicy{}
}

// machinesFor are the types of which a codespace may be, if that one pays.
func (r *Repository) machinesFor(payer *account) []Machine {
	allowed := r.sim.policyOf(payer).Machines
	return slices.DeleteFunc(slices.Clone(machines), func(m Machine) bool { return allowed != nil && !slices.Contains(allowed, m.Name) })
}

// setIdle is how long the codespace may idle, by what was asked and what the organization allows; if that is less, it says so.
func (cs *Codespace) setIdle() {
	most := cs.sim.policyOf(cs.payer).MostIdle
	cs.idle, cs.notice = cs.wanted, ""
	if most > 0 && most < cs.wanted {
		cs.idle = most
		cs.notice = fmt.Sprintf("Idle timeout for this codespace is set to %d minutes in compliance with your organization’s policy.", minutes(most))
	}
}

func minutes(d time.Duration) int { return int(d / time.Minute) }

// badCodespace refuses what is wrong with a codespace that was asked for. That GitHub does so with a 400 was seen for names that are too
// long (cli/cli#8356) and other values (moira-mcp/moira#219); of the sentences only that for names is known.
func badCodespace(format string, args ...any) error {
	return refuse(http.StatusBadRequest, format, args...)
}

func conflict(sentence string) error  { return refuse(http.StatusConflict, "%s", sentence) }
func forbidden(sentence string) error { return refuse(http.StatusForbidden, "%s", sentence) }
