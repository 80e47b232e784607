package githubsim

import "slices"

// MergeQueue is the merge_queue rule of a repository's ruleset. Of its settings only MaxEntriesToMerge does something here: with 0
// entries are built and stay, and nothing merges.
type MergeQueue struct {
	CheckResponseTimeoutMinutes  int    `json:"check_response_timeout_minutes"`
	GroupingStrategy             string `json:"grouping_strategy"` // ALLGREEN or HEADGREEN
	MaxEntriesToBuild            int    `json:"max_entries_to_build"`
	MaxEntriesToMerge            int    `json:"max_entries_to_merge"`
	MergeMethod                  string `json:"merge_method"` // MERGE, SQUASH or REBASE
	MinEntriesToMerge            int    `json:"min_entries_to_merge"`
	MinEntriesToMergeWaitMinutes int    `json:"min_entries_to_merge_wait_minutes"`
}

// UsualMergeQueue is a merge queue with the settings that GitHub's page offers at first.
func UsualMergeQueue() *MergeQueue {
	return &MergeQueue{
		CheckResponseTimeoutMinutes: 60, GroupingStrategy: "ALLGREEN", MaxEntriesToBuild: 5, MaxEntriesToMerge: 5,
		MergeMethod: "MERGE", MinEntriesToMerge: 1, MinEntriesToMergeWaitMinutes: 5,
	}
}

// valid says whether all settings are as GitHub documents them.
func (q MergeQueue) valid() bool {
	within := func(n, least, most int) bool { return least <= n && n <= most }
	return within(q.CheckResponseTimeoutMinutes, 1, 360) && slices.Contains([]string{"ALLGREEN", "HEADGREEN"}, q.GroupingStrategy) &&
		within(q.MaxEntriesToBuild, 0, 100) && within(q.MaxEntriesToMerge, 0, 100) && within(q.MinEntriesToMerge, 0, 100) &&
		slices.Contains([]string{"MERGE", "SQUASH", "REBASE"}, q.MergeMethod) && within(q.MinEntriesToMergeWaitMinutes, 0, 360)
}

func (q MergeQueue) json() obj {
	return obj{"type": "merge_queue", "parameters": obj{
		"check_response_timeout_minutes": q.CheckResponseTimeoutMinutes, "grouping_strategy": q.GroupingStrategy,
		"max_entries_to_build": q.MaxEntriesToBuild, "max_entries_to_merge": q.MaxEntriesToMerge, "merge_method": q.MergeMethod,
		"min_entries_to_merge": q.MinEntriesToMerge, "min_entries_to_merge_wait_minutes": q.MinEntriesToMergeWaitMinutes,
	}}
}
