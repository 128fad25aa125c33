# make demo: the whole road once. make test: the test suite; make test-long: what repeats it at length; make test-pythons: a part of it on each Python. make soak: faults, overload and hostile input at length. make fleet: several servers at length. make fidelity: answers beside the libraries', all of them. make check: what a change must pass. make docs: the site of the documentation. make bench: the figures; make peers: beside others; make capacity: what tbgen capacity simulates beside open loops.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Much of a test is waiting for a server to start: three at once on two cores. A file's tests stay together, in the order of tests/conftest.py.
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Each package is one whose hash is known, but torch, whose build differs by machine; tbgen is built by the setuptools among them.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TORCH := torch==2.13.0
FOLDERS := backends cli export generator server

.PHONY: demo test test-long test-pythons gateway-clients soak fleet fidelity check docs tree types tools checkov bench peers capacity sbom clean model_repository pictures

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: $(STAMP) tools
	$(PYTEST)

# What repeats at length what quicker tests hold.
test-long: $(STAMP)
	$(PYTEST) -m long

# What needs no extra, on each Python of this machine with numpy 2; `make test-pythons SERVER=--server`: the embedded server beside it, too.
test-pythons: $(STAMP)
	$(BIN)/python -m tests.pythons $(SERVER)

# LangChain's classes before the gateway, in an environment of their own beside the one of the tests.
CLIENTS := build/gateway-clients
gateway-clients: $(STAMP)
	$(PYTHON) -m venv $(CLIENTS)
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' > $$(echo $(CLIENTS)/lib/python*/site-packages)/tests.pth
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check langchain-openai langchain-huggingface
	$(CLIENTS)/bin/python -m pytest -n 0 -m long tests/server/gateway/test_langchain.py

# The long forms of tests/faults/, one after the other, with their figures: docs/explanation/reliability.md. `make soak TESTS=tests/faults/test_x.py` picks.
TESTS ?= tests/faults
soak: $(STAMP)
	$(BIN)/python -m pytest -n 0 -s -m soak $(TESTS)

# Several servers behind HAProxy, at length, with their figures: docs/how-to/fleet.md.
fleet: $(STAMP)
	$(BIN)/python -m pytest -n 0 -s -m soak tests/fleet

# All of tests/fidelity/, of which `make test` asks a part; writes docs/explanation/fidelity.md.
fidelity: $(STAMP)
	$(BIN)/python -m tests.fidelity

check: $(STAMP) tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(MAKE) --no-print-directory types
	$(PYTEST)

# mypy and the site's reference follow folders, not setuptools' package-dir: show them the tree as the package that it becomes.
tree:
	mkdir -p build/typing/tbgen
	for folder in $(FOLDERS); do ln -sfn ../../../$$folder build/typing/tbgen/$$folder; done
	ln -sfn ../../../api/__init__.py build/typing/tbgen/__init__.py

types: $(STAMP) tree
	MYPYPATH=build/typing $(BIN)/python -m mypy --package tbgen

# The documentation as a site, which fetches nothing from elsewhere; a link that leads nowhere fails it.
docs: $(STAMP) tree
	$(BIN)/python -m zensical build --clean --strict
	@echo "Open build/site/index.html. To search in it, serve it: python3 -m http.server 8888 -d build/site"

bench: $(STAMP)
	$(BIN)/python -m benchmarks --json docs/reference/results.json

peers: $(STAMP)
	$(BIN)/python -m benchmarks.peers install
	$(BIN)/python -m benchmarks.peers compare --json docs/reference/results.json

# What is simulated of a replica beside what it does: docs/explanation/scale.md. `make capacity SHAPE=base GRAPH=bls` picks.
SHAPE ?= sleeping
GRAPH ?= bls
capacity: $(STAMP)
	$(BIN)/python -m benchmarks.capacity $(SHAPE) $(GRAPH)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --only-binary=:all: --require-hashes --no-deps --requirement constraints.txt
	$(INSTALL) $(TORCH)
	$(INSTALL) --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	touch $(STAMP)

# helm, kubectl and KServe's types, which tests hold written manifests against: tests/tools.py.
TOOLS := build/tools
tools: $(TOOLS)/.unpacked

$(TOOLS)/.unpacked: tests/tools.txt tests/tools.py | $(STAMP)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --only-binary=:all: --require-hashes --no-deps --dest $(TOOLS) --requirement tests/tools.txt
	$(BIN)/python -m tests.tools $(TOOLS)
	touch $@

# Security rules on what `tbgen deploy` writes; those left out are answered in docs/how-to/kubernetes.md.
CHECKED := build/checked
checkov: $(STAMP) tools model_repository
	$(PYTHON) -m venv build/checkov
	build/checkov/bin/python -m pip install --quiet --disable-pip-version-check checkov==3.3.30
	$(BIN)/tbgen deploy image -o $(CHECKED)/image
	$(BIN)/tbgen deploy kubernetes -o $(CHECKED)/kubernetes --image ghcr.io/you/kcbert:1 --autoscaler hpa
	$(BIN)/tbgen deploy kubernetes -o $(CHECKED)/bucket --models s3://models/nlp --autoscaler keda
	$(BIN)/tbgen deploy helm -o $(CHECKED)/helm --image ghcr.io/you/kcbert:1
	mkdir -p $(CHECKED)/docker && cp $(CHECKED)/image/Containerfile $(CHECKED)/docker/Dockerfile
	PATH=$(CURDIR)/$(TOOLS):$$PATH build/checkov/bin/checkov --quiet --compact --skip-download --framework kubernetes helm dockerfile \
	  --skip-check CKV_K8S_21,CKV_K8S_11,CKV_K8S_43,CKV_K8S_15,CKV_K8S_40,CKV_K8S_35,CKV_DOCKER_2 -d $(CHECKED)

# What tbgen is made of and runs with, as CycloneDX says it.
sbom: $(STAMP)
	mkdir -p build
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/tbgen.cdx.json $(BIN)/python

clean:
	rm -rf $(VENV) build *.egg-info

# After a change of a step or of the sample: what `tbgen scaffold kcbert` writes is committed, less the weights.
model_repository: $(STAMP)
	$(BIN)/tbgen scaffold kcbert --force

# The drawings of the documentation: what `tbgen show` draws of the committed models.
pictures: $(STAMP)
	for graph in ensemble bls; do $(BIN)/tbgen show kcbert_onnx_$$graph --svg docs/images/kcbert_onnx_$$graph.svg; done
