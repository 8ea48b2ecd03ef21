# Swanherd: `make demo` shows it, `make test` tests it. Debian 12, root.
PYTHON ?= python3
BOX ?= user
BIN := .venv/bin
export BACKEND KIND DASHBOARD
KERNEL_SECONDS ?= 900
KERNEL_WHICH ?= not long
KERNEL_TESTS ?= tests/kernel tests/functional/swan/test_tunnels.py::test_packets_pass \
	tests/functional/swan/test_tunnels.py::test_what_only_the_kernel_has
.DEFAULT_GOAL := help
.PHONY: help messages browser install tools matrix demo up down enter status format check lint types contracts \
	unit unit-server unit-others functional functional-daemons functional-server environments oracles \
	scenario scenario-ovs scenario-ha scenario-failover test test-dashboard test-dashboard-short test-dashboard-clouds test-pages test-browser \
	test-kernel test-kube test-long test-releases recovery \
	soak bench bench-beside losses losses-kernel losses-table scale-kernel

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: ## apt packages, the virtual environment and what runs in it
	@command -v $(PYTHON) >/dev/null || { apt-get -qq update && apt-get -qq -y install python3; }
	@$(PYTHON) lab/install.py

tools: install ## and the programs that only tests run
	@$(PYTHON) lab/install.py --tests

demo: install ## two clouds, one tunnel, and what is on the wire (KEEP=1; BACKEND=ovs; DASHBOARD=1: with Horizon)
	@[ -z "$(DASHBOARD)" ] || $(BIN)/python -m tests.oracles.environments horizon
	@$(BIN)/python -m lab.demo

up: install ## bring two clouds up: make up [UPFLAGS="--backend-a ovs --gateways 2"]
	@$(BIN)/python -m lab up $(UPFLAGS)

down: ## remove the clouds
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m lab down; fi

enter: ## a shell in a box: make enter BOX=a-gw
	@$(BIN)/python -m lab enter $(BOX) $(CMD)

status: ## boxes and services of the lab
	@$(BIN)/python -m lab status

format: ## format the code
	@$(BIN)/ruff format -q .
	@$(BIN)/ruff check -q --fix .

lint:
	@$(BIN)/ruff format -q --check . || { echo 'not formatted: make format'; exit 1; }
	@$(BIN)/ruff check -q .

types:
	@$(BIN)/mypy
	@$(BIN)/mypy -p lab
	@$(BIN)/mypy -p bench

contracts:
	@PYTHONPATH=operator/src:client/src:dashboard/src $(BIN)/lint-imports --verbose >build/contracts.log 2>&1 || { cat build/contracts.log; exit 1; }

# Two processes, so that only one of them imports Neutron and its clients.
HEAVY := tests/unit/server tests/unit/docs

# What Python compiles, the tests' rewritten assertions too, is kept for the next run.
unit-server unit-others: export PYTHONDONTWRITEBYTECODE =
unit-server unit-others: export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache

unit:
	@$(MAKE) --no-print-directory -j2 --output-sync=target unit-server unit-others

unit-server:
	@$(BIN)/pytest -q $(HEAVY)

unit-others:
	@$(BIN)/pytest -q tests/unit $(HEAVY:%=--ignore %)

check: tools ## lint, format, types, import contracts, unit tests: < 60 s
	@mkdir -p build
	@$(MAKE) --no-print-directory -j2 --output-sync=target unit-server unit-others lint types contracts

# What depends on the moment gets a second chance: what failed runs once more, and both are printed.
# Stages run beside each other, so each one remembers by itself what failed. The gate makes the two
# tries apart (lab/gate.py), the second when nothing else runs: TRY is 1, then 2.
AGAIN := --last-failed --last-failed-no-failures none
REMEMBER = -o cache_dir=$(CURDIR)/build/failed/$@
PYTEST = $(BIN)/pytest -q -m "not long" $(REMEMBER)
# $(call twice,RUNNER,WHAT,LINES): LINES of the slowest tests at the first try.
first = $(1) $(2) --durations=$(3)
again = $(1) $(2) $(AGAIN)
twice = $(if $(filter 1,$(TRY)),$(first),$(if $(filter 2,$(TRY)),$(again),$(first) || $(again)))

functional: functional-daemons functional-server ## tests on real charons, namespaces, ovsdb, MariaDB

# What waits for MariaDB and the API, and what needs neither namespaces nor charons.
ON_API := tests/functional/server tests/functional/enabling tests/functional/client
ON_DAEMONS := tests/functional $(ON_API:%=--ignore %)

functional-daemons: tools
	@$(call twice,$(PYTEST),$(ON_DAEMONS),20)

# Nice, since it runs beside the kernel.
functional-server: tools
	@$(call twice,nice -n 10 $(PYTEST),$(ON_API),20)

environments: tools
	@$(BIN)/python -m tests.oracles.environments

oracles: environments ## neutron-vpnaas' own API tests, on our plugin
	@$(call twice,$(PYTEST),tests/oracles,1)

LAB := $(or $(SWANHERD_LAB),test)
ON_OVS := tests/scenario/test_matrix.py tests/scenario/test_ovs_cloud.py
# The soak waits for most of its minutes: it is in the lane that is shorter without it.
ON_FAILOVER := tests/scenario/test_soak.py tests/scenario/test_failover.py
ELSEWHERE := --ignore tests/scenario/test_soak.py

scenario: environments ## tests on two real clouds (SWANHERD_LAB=test; BACKEND=ovs)
	@$(call twice,$(PYTEST),tests/scenario $(ELSEWHERE),10)

scenario-ovs: export BACKEND := ovs
scenario-ovs: export SWANHERD_LAB := $(LAB)ovs
scenario-ovs: environments ## what Open vSwitch has of its own, and the matrix
	@$(call twice,$(PYTEST),$(ON_OVS),5)

scenario-ha: export BACKEND := ha
scenario-ha: export SWANHERD_LAB := $(LAB)ha
scenario-ha: environments ## two network nodes of L3 agents
	@$(call twice,$(PYTEST),tests/scenario/test_ha.py,1)

scenario-failover: export BACKEND := failover
scenario-failover: export SWANHERD_LAB := $(LAB)failover
scenario-failover: environments ## two gateway chassis; and minutes without a false DOWN
	@$(call twice,$(PYTEST),$(ON_FAILOVER),2)

HORIZON := build/oracles/horizon/bin/python
ON_HORIZON := $(HORIZON) -W ignore -m pytest -q -c
IN_HORIZON := $(ON_HORIZON) tests/dashboard/pytest.ini --ignore tests/dashboard/clouds
# A process of its own: its server's threads would have the database that Django's tests close.
IN_BROWSER := tests/dashboard/browser

browser: install
	@$(PYTHON) lab/install.py --browser

test-dashboard: ## the Horizon panel: pages, browser, and all of its way on two clouds
	@$(MAKE) --no-print-directory test-dashboard-short
	@$(MAKE) --no-print-directory test-dashboard-clouds

test-dashboard-short: browser ## its pages and Chromium alone: DASHBOARD_TESTS=tests/dashboard/test_speed.py
	@$(BIN)/python -m tests.oracles.environments horizon
	@$(if $(DASHBOARD_TESTS),$(IN_HORIZON) $(DASHBOARD_TESTS),$(MAKE) --no-print-directory test-pages test-browser)

# A stage of two parts: the first one's failure mustn't hide the second one.
test-pages test-browser: override TRY :=

test-pages:
	@$(call twice,$(IN_HORIZON) $(REMEMBER),tests/dashboard --ignore $(IN_BROWSER),1)

test-browser:
	@$(call twice,$(IN_HORIZON) $(REMEMBER),$(IN_BROWSER),5)

messages: install ## the dashboard's catalogues of translations, brought up to date and compiled
	@$(BIN)/python -m tests.oracles.environments horizon
	@$(HORIZON) dashboard/messages.py

test-dashboard-clouds: browser ## from the login to traffic in Chromium, on two clouds (SCREENSHOTS=1)
	@$(BIN)/python -m tests.oracles.environments horizon
	@$(ON_HORIZON) tests/dashboard/clouds/pytest.ini tests/dashboard/clouds
	@cat build/dashboard.json

matrix: install ## each inner over each outer family on each backend, into build/matrix.json and README
	@BACKEND=ovn $(BIN)/pytest -q tests/scenario/test_matrix.py --durations=5
	@BACKEND=ovs $(BIN)/pytest -q tests/scenario/test_matrix.py --durations=5
	@$(BIN)/python -m lab.matrix --readme

IN_KERNEL := SWANHERD_TEST_DATA_PLANE=kernel $(BIN)/python -m lab.kernel --seconds $(KERNEL_SECONDS) \
	$(BIN)/python -m pytest -q --color=no -m "$(KERNEL_WHICH)"

test-kernel: tools ## kernel ESP, in a kernel that has it: user-mode Linux, build/kernel/
	@$(call twice,$(IN_KERNEL) --junitxml=build/kernel/junit.xml $(REMEMBER),$(KERNEL_TESTS),5)

test-kube: tools ## the chart and the operator in a real cluster's API, which is built first (minutes, once): build/kube/
	@$(PYTHON) -m lab.kube
	@$(BIN)/python -m tests.oracles.environments kube
	@$(PYTEST) tests/kube --durations=5

test: install ## everything, stages side by side (lab/gate.py), and what each took (LANES=1: one after another)
	@LANES=$(LANES) $(BIN)/python -m lab.gate
	@$(BIN)/python -m lab.matrix --readme

test-releases: install ## Neutron 24 and 26, each in its own environment: units, API, tunnels to 29 (RELEASES=neutron-26)
	@$(BIN)/python -m tests.oracles.releases $(RELEASES)

losses-table: install ## all of them, on userspace and kernel ESP, into docs/live.md's table (half an hour)
	@failed=; $(MAKE) --no-print-directory losses || failed=1; \
		$(MAKE) --no-print-directory losses LOSSES="--backend ovs" || failed=1; \
		$(MAKE) --no-print-directory losses-kernel || failed=1; \
		$(BIN)/python -m bench.losses.table && [ -z "$$failed" ]

losses: install ## what each change costs a live tunnel, into build/losses.json (LOSSES="--backend ovs")
	@$(BIN)/python -W ignore -m bench.losses $(LOSSES)

# What makes its routers of the run's kind.
OF_KIND := tests/scenario/test_self_healing.py tests/scenario/test_statuses.py tests/scenario/test_changes.py

# On a cloud with two network nodes of L3 agents, beside one of OVN.
ON_L3 := tests/scenario/test_ha.py tests/scenario/test_ha_moves.py tests/scenario/test_ha_agents.py $(OF_KIND)

# Legacy routers of one network node: whole faults, a random history, what comes in from outside, what
# Neutron changes of a router, and sites that aren't ours.
BREAKS_OVS := tests/scenario/test_recovery.py tests/scenario/test_random.py tests/scenario/test_fail_closed.py \
	tests/scenario/test_router_changes.py tests/scenario/test_peers.py

test-long: environments ## what is too slow for every run: long faults, minutes of a random history
	@EXAMPLES=300 $(MAKE) --no-print-directory unit
	@$(BIN)/pytest -q tests --ignore tests/kernel -m long --durations=10
	@$(MAKE) --no-print-directory test-kernel KERNEL_WHICH=long KERNEL_TESTS=tests/kernel
	@$(MAKE) --no-print-directory test-kube
	@BACKEND=ha $(BIN)/pytest -q $(ON_L3) --durations=5
	@BACKEND=ovs $(BIN)/pytest -q $(BREAKS_OVS) --durations=5
	@BACKEND=neutron_user $(BIN)/pytest -q tests/scenario/test_neutron_user.py --durations=3
	@BACKEND=failover $(BIN)/pytest -q tests/scenario/test_failover.py -m long --durations=5
	@BACKEND=predecessor $(BIN)/pytest -q tests/scenario/test_predecessor*.py --durations=3
	@BACKEND=l3_predecessor $(BIN)/pytest -q tests/scenario/test_l3_predecessor.py --durations=3
	@BACKEND=ha KIND=ha $(BIN)/pytest -q $(OF_KIND) --durations=5
	@BACKEND=ovs KIND=dvr $(BIN)/pytest -q $(OF_KIND) --durations=5
	@$(MAKE) --no-print-directory test-releases

recovery: install ## break everything, and make docs/self-healing.md's table of how long it took (BACKEND=ovs)
	@$(BIN)/pytest -q tests/scenario/test_recovery.py --durations=3; \
		$(BIN)/python -m lab.recovery $(or $(BACKEND),ovn)$(KIND:%=-%) --docs

soak: install ## rekeys and changes, and the API never says DOWN: make soak [MINUTES=60]
	@MINUTES=$(or $(MINUTES),60) $(BIN)/pytest -q tests/scenario/test_soak.py
	@cat build/soak.json

losses-kernel: install ## the same on kernel ESP with 40 ms there and back, into build/kernel/
	@$(BIN)/python -m lab.kernel --seconds 1800 $(BIN)/python -W ignore -m bench.losses \
		--plane kernel --delay 20 --v2-allowed 2 --out build/kernel/losses.json $(LOSSES)

scale-kernel: install ## many connections on kernel ESP, into build/kernel/scale.json (SCALE="--routers 200")
	@$(BIN)/python -m lab.kernel --memory 4G --seconds 3600 $(BIN)/python -W ignore -m bench.scale \
		--plane kernel --out build/kernel/scale.json $(SCALE)

bench: install ## figures into build/bench.json
	@$(BIN)/python -m bench

bench-beside: tools ## Swanherd and neutron-vpnaas 27 and 29 through one script, into docs/benchmarks.md and build/bench.json
	@$(BIN)/python -W ignore -m bench.beside --docs
