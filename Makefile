# Figures: docs/performance.md says what they were, and on what.
.PHONY: bench
bench:
	go test -run '^$$' -bench . -benchtime 2s ./policy
	go test -run '^$$' -bench Accept -benchtime 2s ./internal/store
	go test -run '^$$' -bench 'WebhookToCheck' -benchtime 40x ./app
	go test -run '^$$' -bench 'Decisions' -benchtime 1x -timeout 20m ./app
