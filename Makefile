# Figures: docs/performance.md says what they were, and on what.
.PHONY: bench
bench:
	go test -run '^$$' -bench . -benchtime 2s ./policy
	go test -run '^$$' -bench 'Accept|Work' -benchtime 2s ./internal/store
	go test -run '^$$' -bench 'Acknowledge' -benchtime 30000x ./app
	go test -run '^$$' -bench 'WebhookToCheck' -benchtime 40x ./app
	go test -run '^$$' -bench 'Decisions' -benchtime 1x -timeout 20m ./app
	go test -run '^$$' -bench 'Idle|Resync|Load|Stop|BreakGlass|SoftLock|Clearing' -benchtime 1x -timeout 60m ./app
	go test -run '^$$' -bench 'Introspection' -benchtime 20000x ./app

# The built binary, killed for half an hour on each database.
.PHONY: killloop
killloop:
	PORTCULLIS_KILLLOOP=30m go test -count=1 -v -timeout 60m -run 'TestKillLoop' ./app
	PORTCULLIS_KILLLOOP=30m go test -count=1 -v -parallel 20 -timeout 60m -run 'TestCrashPoints|TestNothingMergesThough|TestReplicas|TestAStoppedReplica|GoesAwayUnderLoad|TestLinksThatFail' ./app
