# Everything starts here: `make` alone lists the targets.
.DEFAULT_GOAL := help
NEWEST := 2026.2
RELEASE ?= $(NEWEST)
VENV := .venv$(addprefix -,$(filter-out $(NEWEST),$(RELEASE)))/bin
LAB := $(VENV)/portchain-lab
NAME ?= demo
DRIVER ?= ovs
ARGS ?=

.PHONY: help setup setup-tests setup-ovn setup-nova setup-release demo demo-down lab shell lint test test-more test-full \
	test-kernel test-kernel-lab test-ovn test-release search bench docs dist

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install Debian packages and .venv (does nothing if nothing is missing; RELEASE=2026.1: .venv-2026.1)
	@tools/install $(RELEASE)

setup-tests: # also install a browser, and what a virtual machine with another kernel needs
	@tools/install tests

setup-ovn: setup-tests # also unpack the oldest OVN that Debian has
	@PORTCHAIN_OVN_SUITE=bookworm tools/ovn

setup-nova: setup-tests # also install what Nova's hosts need: libvirt, QEMU and busybox
	@tools/install nova

setup-release: setup-tests # also install an older release of Neutron
	@tools/install 2026.1

demo: setup ## start the lab and run the specification's workflow in it (DRIVER=ovn: on OVN; DRIVER=openflow: with a controller; RELEASE=2026.1: with Neutron 28)
	@$(LAB) demo --name $(NAME) --driver $(DRIVER) $(ARGS)

demo-down: ## stop and remove the lab
	@$(LAB) down --name $(NAME)

lab: setup ## start a fresh lab without the demo (NAME=..., ARGS="--hosts 2 --firewall noop")
	@$(LAB) up --name $(NAME) $(ARGS)

shell: ## open a shell with openstack, beside the lab's servers
	@$(LAB) shell --name $(NAME)

lint: setup ## check style, types and import rules
	@PATH="$(CURDIR)/$(VENV):$$PATH"; ruff check . && ruff format --check . && mypy && lint-imports

test: setup-tests ## run the tests, but for what test-more has (ARGS=tests/unit runs a part)
	@tools/check $(ARGS)

test-more: setup-tests ## what `make test` leaves out because it takes long; continuous integration runs both
	@tools/check --more

test-full: setup-release setup-ovn setup-nova ## the same with more seeds, combinations and restarts
	@PORTCHAIN_FULL=1 tools/check $(ARGS)

test-kernel: setup-tests ## the tests of the data plane with a kernel's datapath, in a virtual machine
	@tools/check --kernel

test-kernel-lab: setup-tests ## the whole system with a kernel's datapath, in a virtual machine; takes an hour
	@tools/check --kernel-lab

test-ovn: setup-ovn ## tests of the lab again with hosts of OVN; takes a quarter of an hour
	@tools/check --ovn

test-release: setup-release ## the tests of what uses Neutron again, with its older release
	@tools/check --release

search: setup-tests ## search for counter-examples in random cases (ARGS="--minutes 60 isolation")
	@$(VENV)/python tools/search $(ARGS)

bench: setup ## measure (see bench/)
	@$(VENV)/python -m bench $(ARGS)

docs: setup ## build the documentation as a site in build/docs (warnings and broken links are errors)
	@$(VENV)/sphinx-build -q -W --keep-going -b html docs build/docs && echo "build/docs/index.html"

dist: setup ## build wheels and sdists of neutron-portchain, its lab and its panel in dist/
	@tools/dist
