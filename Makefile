# The lab: two real clouds on one machine (Debian 12, root). See lab/ and docs/.
PYTHON ?= python3
BOX ?= user
.PHONY: install up down enter status

install: ## apt packages, the virtual environment and what runs in it
	@command -v $(PYTHON) >/dev/null || { apt-get -qq update && apt-get -qq -y install python3; }
	@$(PYTHON) lab/install.py

up: install ## bring two clouds up: make up [UPFLAGS="--no-swanherd --gateways 2"]
	@.venv/bin/python -m lab up $(UPFLAGS)

down: ## remove the clouds
	@if [ -x .venv/bin/python ]; then .venv/bin/python -m lab down; fi

enter: ## a shell in a box: make enter BOX=a-gw
	@.venv/bin/python -m lab enter $(BOX) $(CMD)

status: ## boxes and services of the lab
	@.venv/bin/python -m lab status
