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
	go test -run '^$$' -bench 'Sandbox' -benchtime 15x -timeout 20m ./sandbox/docker
	go test -run '^$$' -bench . -benchtime 2s ./sandbox/egress

# The built binary, killed for half an hour on each database.
.PHONY: killloop
killloop:
	PORTCULLIS_KILLLOOP=30m go test -count=1 -v -timeout 60m -run 'TestKillLoop' ./app
	PORTCULLIS_KILLLOOP=30m go test -count=1 -v -parallel 20 -timeout 60m -run 'TestCrashPoints|TestNothingMergesThough|TestReplicas|TestAStoppedReplica|GoesAwayUnderLoad|TestLinksThatFail' ./app

# Sandboxes on Kubernetes against its real API server and controllers, which are built
# from the Go module proxy: a quarter of an hour on two cores, once for each version.
envtest := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/portcullis-envtest
.PHONY: envtest
envtest:
	cd sandbox/kubernetes/testdata/envtest && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o '$(envtest)/' \
		go.etcd.io/etcd/server/v3 k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager
	ln -sf server '$(envtest)/etcd'
	KUBEBUILDER_ASSETS='$(envtest)' go test -count=1 -v -tags envtest -timeout 10m -run 'TestRealAPIServer' ./sandbox/kubernetes
