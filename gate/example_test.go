package gate_test

import (
	"context"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

func ExampleNewMemoryApprovalWorkflow() {
	ctx := context.Background()
	monday := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	workflow := gate.NewMemoryApprovalWorkflow(func() time.Time { return monday.Add(time.Hour) })

	request := gate.ApprovalRequest{
		ID: "release-1.4", Commit: "4f2a9c1", Since: monday, Tier: policy.TierSecurityReview, Required: 2,
	}
	sam := policy.Vote{Source: "mail:1", By: policy.Actor{ID: 1, Login: "sam", Kind: policy.KindUser}, Commit: "4f2a9c1", At: monday.Add(time.Minute)}
	sue := policy.Vote{Source: "mail:2", By: policy.Actor{ID: 2, Login: "sue", Kind: policy.KindUser}, Commit: "4f2a9c1", At: monday.Add(time.Minute)}
	for _, err := range []error{
		workflow.Request(ctx, request), workflow.Approve(ctx, request.ID, sam), workflow.Approve(ctx, request.ID, sue),
	} {
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(workflow.Status(ctx, request.ID))

	// A push: the approvals were for another commit.
	request.Commit, request.Since = "b7e03d5", monday.Add(2*time.Minute)
	if err := workflow.Request(ctx, request); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(workflow.Status(ctx, request.ID))
	// Output:
	// approved <nil>
	// pending <nil>
}
