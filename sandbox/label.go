package sandbox

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// The labels that a sandbox carries where its backend has labels. LabelApp is the number
// of the App whose it is: several may share a backend, and each sees its own alone.
const (
	labelPrefix = "portcullis."
	LabelApp    = labelPrefix + "app"
	LabelID     = labelPrefix + "id"

	labelInstallation = labelPrefix + "installation"
	labelOwner        = labelPrefix + "owner"
	labelRepository   = labelPrefix + "repository"
	labelRepositoryID = labelPrefix + "repository-id"
	labelNumber       = labelPrefix + "pull-request"
	labelAgents       = labelPrefix + "by-agent"
	labelHead         = labelPrefix + "head"
	labelPolicy       = labelPrefix + "policy"
	labelBy           = labelPrefix + "requested-by"
	labelByID         = labelPrefix + "requested-by-id"
	labelCreated      = labelPrefix + "created"
	labelDeadline     = labelPrefix + "deadline"
)

// Labels is what a sandbox of the App is to carry.
func (i Instance) Labels(app int64) map[string]string {
	place := i.For.Repository
	return map[string]string{
		LabelApp: strconv.FormatInt(app, 10), LabelID: i.ID,
		labelInstallation: strconv.FormatInt(place.Installation, 10), labelOwner: place.Owner, labelRepository: place.Name,
		labelRepositoryID: strconv.FormatInt(place.ID, 10), labelNumber: strconv.Itoa(i.For.Number), labelAgents: strconv.FormatBool(i.For.Agents),
		labelHead: i.HeadSHA, labelPolicy: i.Policy, labelBy: i.RequestedBy.Login, labelByID: strconv.FormatInt(i.RequestedBy.ID, 10),
		labelCreated: i.CreatedAt.UTC().Format(time.RFC3339Nano), labelDeadline: i.Deadline.UTC().Format(time.RFC3339Nano),
	}
}

// FromLabels reads what [Instance.Labels] wrote, but for the provider and the status. An
// error names the label that cannot be read: nobody knows whose such a sandbox is, or
// until when it may run.
func FromLabels(labels map[string]string) (Instance, error) {
	var faults []error
	number := func(name string) int64 {
		n, err := strconv.ParseInt(labels[name], 10, 64)
		if err != nil {
			faults = append(faults, fmt.Errorf("the label %s is no number: %q", name, labels[name]))
		}
		return n
	}
	moment := func(name string) time.Time {
		t, err := time.Parse(time.RFC3339Nano, labels[name])
		if err != nil {
			faults = append(faults, fmt.Errorf("the label %s is no time: %q", name, labels[name]))
		}
		return t
	}
	i := Instance{
		ID: labels[LabelID],
		For: killswitch.Scope{
			Repository: policy.Repository{Installation: number(labelInstallation), ID: number(labelRepositoryID), Owner: labels[labelOwner], Name: labels[labelRepository]},
			Number:     int(number(labelNumber)), Agents: labels[labelAgents] == "true",
		},
		HeadSHA: labels[labelHead], Policy: labels[labelPolicy],
		RequestedBy: policy.Actor{ID: number(labelByID), Login: labels[labelBy]},
		CreatedAt:   moment(labelCreated), Deadline: moment(labelDeadline),
	}
	if !ValidID(i.ID) {
		faults = append(faults, fmt.Errorf("the label %s is no id: %q", LabelID, i.ID))
	}
	return i, errors.Join(faults...)
}

// Instance is the sandbox that the spec asks for, if it is created at that time.
func (s Spec) Instance(provider string, at time.Time) Instance {
	return Instance{
		ID: s.ID, Provider: provider, Status: StatusIdle, For: s.For, HeadSHA: s.HeadSHA, Policy: s.Policy, RequestedBy: s.RequestedBy,
		CreatedAt: at, Deadline: at.Add(s.Constraints.Lifetime()),
	}
}
