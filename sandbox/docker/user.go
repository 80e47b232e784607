package docker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/moby/moby/client"
)

// The users that workloads are. Each sandbox has one of its own, because the kernel
// counts a user's processes on the whole machine.
const (
	firstWorkloadID = 1 << 30
	workloadIDs     = 1 << 30
	// firstMappedID is the first where the engine has users of its own, of which there
	// are 65,536.
	firstMappedID = 10_000
	mappedIDs     = 50_000
)

// user is one as the engine reads it.
func user(id int) string { return fmt.Sprintf("%d:%d", id, id) }

// freeUser is a user that no sandbox on the engine has, whichever App's it is.
func (d *Docker) freeUser(ctx context.Context, engine facts) (int, error) {
	there, err := d.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", labelUser)})
	if err != nil {
		return 0, fmt.Errorf("list the users of sandboxes: %w", err)
	}
	taken := map[string]bool{}
	for _, item := range there.Items {
		taken[item.Labels[labelUser]] = true
	}
	return choose(engine.mapped, taken, rand.IntN)
}

// choose chooses one that is not taken: by chance, because another process may choose at
// the same time.
func choose(mapped bool, taken map[string]bool, random func(n int) int) (int, error) {
	first, users := firstWorkloadID, workloadIDs
	if mapped {
		first, users = firstMappedID, mappedIDs
	}
	if len(taken) >= users {
		return 0, fmt.Errorf("each of %d users has a sandbox", users)
	}
	for {
		if id := first + random(users); !taken[strconv.Itoa(id)] {
			return id, nil
		}
	}
}

// workloadOf is the user that the labels name, as the engine reads it.
func workloadOf(labels map[string]string) (string, error) {
	id, err := strconv.Atoi(labels[labelUser])
	if err != nil || id < firstMappedID || id == initID {
		return "", fmt.Errorf("the label %s names no user that runs in a sandbox: %q", labelUser, labels[labelUser])
	}
	return user(id), nil
}
