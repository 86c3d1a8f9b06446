PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))) python3.11)
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
SHELL := bash
.SHELLFLAGS := -o pipefail -c # a filtered command fails as it would alone
INSTALL := PYTHONUNBUFFERED=1 $(PIP) install --progress-bar off --require-hashes
SHOWN := sed -un -e 's/^Collecting \([^ ]*\).*/  \1/p' -e 's/^Installing .*/  unpacking …/p'
.PHONY: help run cluster test-cluster test-page bench bench-quick bench-ledger bench-profile test test-long model model-long bench-gateway bench-memory bench-replay bench-reconcile bench-scale fuzz-api asyncapi watch check-watch check fuzz chaos crash-points overload idle takeover soak rolling chaos-self-test wheels image check-image test-containers install format lint types imports unused lock clean
help: ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.local ## everything up on this machine, with a sandbox provider
	@exec .venv/bin/topup up
cluster: .venv/.local ## the same with the streams on a Valkey Cluster of three primaries and three replicas
	@exec .venv/bin/python -m ops.cluster_up

test: .venv/.dev ## the tests of each change, on real servers and real processes
	$(PY) -m pytest -n auto --dist loadfile -m "not long and not watch and not page and not tls and not containers"
test-long: .venv/.dev ## the tests that take longer: supervision, replay, screens, scaling under load, lost data, overload, an attack on the API
	$(PY) -m pytest -n auto --dist loadfile -m "long and not containers"
test-page: .venv/.dev ## the operators' page in a real browser (needs Chromium; SHOTS=folder for its pictures)
	@[ -n "$(CHROMIUM)" ] || command -v chromium chromium-browser google-chrome > /dev/null || { echo "Chromium is missing: install it, for example 'apt-get install chromium', or set CHROMIUM to where it is"; exit 1; }
	SHOTS=$(SHOTS) CHROMIUM=$(CHROMIUM) $(PY) -m pytest -q -m page
test-cluster: .venv/.dev ## what holds on a Valkey Cluster of three primaries and three replicas: failovers, moved slots, another partition count
	$(PY) -m pytest -q tests/cluster

bench: .venv/.dev .venv/.peers ## us beside two peers, about ten minutes, into docs/performance.md (needs node and npm)
	$(PY) -m bench
bench-quick: .venv/.dev .venv/.peers ## the same in two minutes; writes nothing down
	$(PY) -m bench --quick
bench-ledger: .venv/.dev ## a ledger of ten million topups, asked and written (COUNT=10000000 SEED=1 KEEP=folder)
	COUNT=$(COUNT) SEED=$(SEED) KEEP=$(KEEP) $(PY) -m bench.ledger
bench-profile: .venv/.dev ## where the CPU goes, by process and function (RATE=0 COUNT=20000 KEEP=folder)
	RATE=$(RATE) COUNT=$(COUNT) KEEP=$(KEEP) $(PY) -m bench.profile
bench-gateway: .venv/.dev ## what a topup costs a gateway by itself, sockets and other services aside
	$(PY) -m bench.gateway
bench-memory: .venv/.dev ## what a settled topup takes in Valkey, and how long its steps do
	$(PY) -m bench.memory
bench-replay: .venv/.dev ## how fast and how flat a replay of 1,000,000 entries is
	$(PY) -m bench.replay
bench-reconcile: .venv/.dev ## how fast and how small a reconciliation of 1,000,000 lines is
	$(PY) -m bench.reconcile
bench-scale: .venv/.dev ## throughput with 1 to 6 dispatchers, and what a day of 100 times needs, into docs/scale.md
	$(PY) -m bench.scale

fuzz-api: .venv/.dev ## ten minutes against the API of what runs here (RATE_LIMIT_PER_MINUTE=1000000 make run)
	@set -a && . .topup/demo.env && .venv/bin/st --config-file tests/system/schemathesis.toml run $$TOPUP_URL/openapi.json --max-time 600

watch: .venv/.dev ## renew what is made of the metrics' declarations: docs/metrics.md and Grafana's board
	$(PY) -m ops.watch
check-watch: .venv/.dev ## rules on made-up series, and a real Prometheus on a real `make run` with faults (about five minutes)
	@command -v prometheus promtool > /dev/null || { echo "prometheus or promtool is missing: install them, for example 'apt-get install prometheus'"; exit 1; }
	$(PY) -m pytest -q -m watch tests/system/test_watch.py
asyncapi: .venv/.dev ## renew docs/asyncapi.json
	.venv/bin/topup asyncapi > docs/asyncapi.json
model: .venv/.dev ## search the protocol's model in full, and without each rule (RULES= for the stories of some; up to half an hour)
	$(PY) -m tests.model $(RULES)
model-long: .venv/.dev ## 10,000 random lives of a topup on a real Valkey, compared with the model (SEED=, EXAMPLES=; BUGS=1: seeded bugs, each to be seen)
	EXAMPLES=$(or $(EXAMPLES),10000) SEED=$(or $(SEED),$(if $(BUGS),1,0)) $(PY) -m pytest -q tests/model/test_machine.py -k $(if $(BUGS),seen,agree)

check: format lint types imports unused ## the gate: seconds, no servers
format: .venv/.dev
	$(PY) -m ruff format --check .
lint: .venv/.dev
	$(PY) -m ruff check .
types: .venv/.dev
	$(PY) -m mypy
imports: .venv/.dev
	.venv/bin/lint-imports
unused: .venv/.dev
	.venv/bin/deptry .
	$(PY) -m vulture

chaos: .venv/.dev ## attack what runs, and print a verdict (SEED= MINUTES=3 TOPUPS= EACH=4 FAULTS=all PROVIDER= CLUSTER=off)
	$(PY) -m tests.chaos
fuzz: .venv/.dev ## break bytes at every door, and see what comes out (SECONDS=600 SEED=1)
	FUZZ_SECONDS=$(or $(SECONDS),600) FUZZ_SEED=$(or $(SEED),1) $(PY) -m pytest -q -m fuzz
crash-points: .venv/.dev ## kill at every named point, and check everything (PROVIDERS= TIMES= POINTS=, or CASES=6 SEED=)
	$(PY) -m tests.chaos.crashes
overload: .venv/.dev ## several times what it can take, and how soon it is over (TIMES=3 LENGTH=20)
	$(PY) -m tests.load.overload
idle: .venv/.dev ## connections that say nothing, on one gateway, and merchants beside them (COUNT=10000)
	$(PY) -m tests.load.idle
takeover: .venv/.dev ## kill dispatchers with sends in flight, and time who goes on (KILLS=10)
	$(PY) -m tests.load.takeover
soak: .venv/.dev ## sell for long; nothing that a process holds may grow (MINUTES=30 RATE=300)
	$(PY) -m tests.load.soak
rolling: .venv/.dev ## sell while every replica is replaced by this version, and back; nobody may notice (RATE=40; needs the history)
	$(PY) -m tests.rolling
.PHONY: check-tls check-deploy
check-tls: .venv/.dev ## Redis and PostgreSQL over TLS, on Debian's servers (apt-get install redis-server postgresql)
	@command -v redis-server > /dev/null && ls /usr/lib/postgresql/*/bin/postgres > /dev/null 2>&1 || { echo "redis-server or postgresql is missing: apt-get install redis-server postgresql"; exit 1; }
	$(PY) -m pytest -q -m tls tests/tls
check-deploy: .venv/.deploy ## the Kubernetes manifests against its schemas and a policy scanner
	.venv/deploy/bin/python -m tests.deploy.check
chaos-self-test: .venv/.dev ## seeded bugs, each to be caught by a run of chaos
	$(PY) -m tests.chaos.selftest

IMAGE ?= topup
ARGUMENTS = $(foreach name,BASE BUILD_BASE PIP_NO_INDEX,$(if $($(name)),--build-arg $(name)=$($(name))))
image: ## build the image (IMAGE=topup BASE= BUILD_BASE=; PIP_NO_INDEX=1 after make wheels)
	docker build -f deploy/Dockerfile -t $(IMAGE) $(ARGUMENTS) \
	  --build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) --build-arg REVISION=$$(git rev-parse HEAD) .
wheels: .venv/bin/python ## lay what the image installs into deploy/wheels, for a build that reaches no index
	for file in build run; do \
	  sed 's/ ; python_full_version.*/ \\/' requirements/$$file.txt | $(PIP) download -q --progress-bar off --no-deps --require-hashes -d deploy/wheels -r /dev/stdin || exit 1; done
check-image: .venv/.dev ## lint the Dockerfile
	.venv/bin/hadolint deploy/Dockerfile
test-containers: .venv/.dev ## image and compose in Docker's engine, which it starts where none runs (root; docker.io docker-compose iptables debootstrap)
	$(PY) -m pytest -m containers tests/containers

install: .venv/.dev ## the environment with all development tools

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Python 3.11 or later is missing: install it, for example 'apt-get install python3.11 python3.11-venv'"; exit 1; }
	@echo "making .venv …"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.local: requirements/local.txt pyproject.toml | .venv/bin/python
	@echo "installing what runs (about a minute the first time) …"
	@$(INSTALL) -r requirements/local.txt | $(SHOWN)
	@$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.local
	@echo "installing the development tools …"
	@$(INSTALL) -r requirements/dev.txt | $(SHOWN)
	@touch $@

.venv/.peers: bench/peers/faststream/requirements.txt bench/peers/bullmq/package-lock.json | .venv/.dev
	@command -v node npm > /dev/null || { echo "node or npm is missing: install them, for example 'apt-get install nodejs npm' (node 20 or later)"; exit 1; }
	@echo "installing what it is measured beside …"
	@$(PYTHON) -m venv .venv/peers
	@.venv/peers/bin/python -m pip --disable-pip-version-check install -q --require-hashes -r bench/peers/faststream/requirements.txt
	@cd bench/peers/bullmq && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

.venv/.deploy: requirements/deploy.txt
	@$(PYTHON) -m venv .venv/deploy
	@echo "installing what looks at manifests …"
	@.venv/deploy/bin/python -m pip --disable-pip-version-check install -q --require-hashes -r requirements/deploy.txt
	@touch $@

LOCK := .venv/bin/uv pip compile pyproject.toml -q --generate-hashes --no-strip-extras --no-header --universal --python-version 3.11
lock: .venv/.dev ## renew the hash-pinned requirements
	$(LOCK) --upgrade --extra local --extra dev -o requirements/dev.txt
	$(LOCK) --extra local -c requirements/dev.txt -o requirements/local.txt
	$(LOCK) -c requirements/dev.txt -o requirements/run.txt
	echo hatchling | $(subst pyproject.toml,-,$(LOCK)) -c requirements/dev.txt -o requirements/build.txt
	.venv/bin/uv pip compile bench/peers/faststream/requirements.in -q --upgrade --generate-hashes --no-strip-extras --no-header --universal --python-version 3.11 -o bench/peers/faststream/requirements.txt
	.venv/bin/uv pip compile requirements/deploy.in -q --upgrade --generate-hashes --no-strip-extras --no-header --universal --python-version 3.11 -o requirements/deploy.txt
	cd bench/peers/bullmq && npm update --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

clean: ## remove the environment and the local data
	rm -rf .venv .topup
