# bertlua: the C engine (build/libbertlua.so) and the executable build/bertlua.
#
#   make                  build
#   make install          PREFIX=/usr/local; packagers: LIBDIR=PREFIX/lib, DESTDIR
#   make uninstall        with the same PREFIX: removes what was installed
#   make clean            remove what was built
#   make demo             train a small BERT
#   make cuda             the CUDA backend; needs nvcc
#   make docs             the Lua API as HTML
#   make dist             the sources as an archive, with a rockspec beside it
#
#   make test             install what is missing, then the whole suite
#   make suite            the suite; BUSTED_ARGS="spec/lua/nn" for a part of it
#   make test-levels      the specs of ops on the kernels of each level of x86-64
#   make asan             the suite under ASan and UBSan
#   make tsan             one encoder in eight threads under ThreadSanitizer
#   make encoder-soak     a million calls of an encoder
#   make lint             luacheck, clang-format, cppcheck
#   make lint-sass        machine code of the CUDA kernels; nvcc and cuobjdump
#   make test-cuda        the specs of devices on a GPU
#   make test-cuda-emulated  the same on an emulated one; needs nvcc
#   make test-cuda-races  its ops with every access to memory watched
#   make test-cuda-ptx    its ops from the PTX that nvcc made of the kernels
#   make gpu-model        predicted times of docs/gpu.md; nvcc and cuobjdump
#   make gpu-report       checks and measurements that need a GPU, as Markdown
#   make faults           kills and errors at every call that writes
#   make flips            every kind of file with one byte changed
#   make fuzz             every parser on arbitrary bytes
#   make fuzz-corpus      its short form
#   make help             this list
#
# Variables: ARCH=native (any -march; x86-64 for a binary that runs on every
# x86-64 and is fast on each), CC=gcc or clang (with libomp-dev), OPT=-O3,
# BUILD=build, V=1 to show the commands, DEV=1 for developers (a warning is an
# error), CFLAGS and LDFLAGS to add your own, MPICC=mpicc (mpicc.mpich for
# MPICH). For CUDA: CUDA_HOME (which contains bin/nvcc), CUDA_ARCHS="80 89 90a".

comma := ,
BUILD ?= build
ARCH ?= native
ifeq ($(origin CC),default)
CC := gcc
endif
OPT ?= -O3
# A newer compiler, with warnings that nobody has seen yet, must not stop a user's build.
DEV ?=
WERROR := $(if $(filter 1,$(DEV)),-Werror)
SANITIZE_FLAGS := $(if $(filter thread,$(SANITIZE)),-fsanitize=thread -fno-omit-frame-pointer,$(if \
  $(SANITIZE),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer))
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
DESTDIR ?=
# Of the C API. Programs name it (libbertlua.so.0) and start with no other. Raised whenever a program built for the last
# release could misread the next one, and then only: it is no part of the version.
ABI := 0
BUSTED_ARGS ?=

# All cores that a container allows, unless the command line has its own -j.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell scripts/build_jobs.sh || echo 2)
endif
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '%-5s %s\n' $(1) $(2))

# pkg-config finds nothing before the packages are installed: `demo` and `test` install them, then call make again.
pkg = $(shell pkg-config $(1) 2>/dev/null)
HDF5_LIBS := $(or $(call pkg,--libs hdf5),-lhdf5)
HDF5_ARCHIVE := $(wildcard $(patsubst -L%,%/libhdf5.a,$(filter -L%,$(HDF5_LIBS))))
CPPFLAGS_ALL := -D_GNU_SOURCE -Iengine $(call pkg,--cflags hdf5 icu-uc icu-i18n jansson) $(CPPFLAGS)
# clang warns where it does not vectorise an omp simd loop; gcc, which does vectorise them, never warns.
CLANG_FLAGS := $(if $(findstring clang,$(CC)),-Wno-pass-failed)
CFLAGS_ALL := -std=c11 $(OPT) -g -march=$(ARCH) -fno-math-errno -fno-trapping-math -fopenmp -fPIC \
  -fvisibility=hidden -Wall -Wextra $(WERROR) $(CLANG_FLAGS) $(SANITIZE_FLAGS) $(CFLAGS)
LDFLAGS_ALL := $(SANITIZE_FLAGS) $(LDFLAGS)
LIBS := -ldnnl $(HDF5_LIBS) $(or $(call pkg,--libs icu-uc icu-i18n),-licui18n -licuuc) \
  $(or $(call pkg,--libs jansson),-ljansson) -lbz2 -lz -lcurl -lm -lpthread
MAIN_CPPFLAGS := $(call pkg,--cflags luajit libedit) \
  -DDEBIAN_LUA_CPATH='"/usr/lib/$(shell $(CC) -print-multiarch 2>/dev/null)/lua/5.1"'
MAIN_LIBS := $(or $(call pkg,--libs luajit libedit),-lluajit-5.1 -ledit)

# engine/mpi and engine/nccl are separate shared objects, engine/hdf5 is a program.
ENGINE_SRC := $(filter-out engine/mpi/% engine/nccl/% engine/hdf5/%,$(sort $(wildcard engine/*/*.c)))
ENGINE_OBJ := $(ENGINE_SRC:%.c=$(BUILD)/%.o)
HDF5_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard engine/hdf5/*.c) engine/core/status.c engine/core/tensor.c)
LINK_HDF5 = $(CC) $(LDFLAGS_ALL) $(HDF5_OBJ) $(CPU_CHECK) -o $@.tmp
MAIN_SRC := $(wildcard bindings/*.c)
MAIN_OBJ := $(MAIN_SRC:%.c=$(BUILD)/%.o)
# What tells a CPU that this build is not for it must run there itself: the code is compiled for the oldest CPU, behind all
# other flags, and what the build needs is data without code.
CPU_CHECK := $(BUILD)/engine/core/cpu_check.o $(BUILD)/engine/core/cpu_needs.o
OLDEST := $(patsubst x86_64%,x86-64,$(patsubst aarch64%,armv8-a,$(shell $(CC) -dumpmachine)))
$(CPU_CHECK): private CFLAGS_ALL += -fno-sanitize=all
$(BUILD)/engine/core/cpu_check.o: private CFLAGS_ALL += $(patsubst %,-march=%,$(filter x86-64 armv8-a,$(OLDEST)))
# The declarations that the bindings read: what is between the markers, core first.
CDEF_HEADERS := engine/api/core.h $(filter-out engine/api/core.h,$(sort $(wildcard engine/api/*.h)))

# Kernels for levels of x86-64 above ARCH, among which a context chooses (engine/cpu/levels.h). LEVELS= leaves them out.
LEVELS_ABOVE_x86-64 := x86-64-v3 x86-64-v4 x86-64-v4-bf16
LEVELS_ABOVE_x86-64-v2 := $(LEVELS_ABOVE_x86-64)
LEVELS_ABOVE_x86-64-v3 := x86-64-v4 x86-64-v4-bf16
LEVELS_ABOVE_x86-64-v4 := x86-64-v4-bf16
LEVELS ?= $(LEVELS_ABOVE_$(ARCH))
LEVEL_FLAGS = -march=$(patsubst %-bf16,% -mavx512bf16,$(1))
LEVEL_SRC := $(filter-out engine/cpu/levels.c,$(wildcard engine/cpu/*.c)) $(patsubst %,engine/core/%.c,cpu_needs half philox)
LEVEL_OBJ := $(foreach level,$(LEVELS),$(LEVEL_SRC:%.c=$(BUILD)/$(level)/%.o))
OBJCOPY ?= $(shell $(CC) -print-prog-name=objcopy)
LEVEL_ROWS := $(foreach level,$(LEVELS),ROW($(subst -,_,$(level)),"$(level)"))
$(BUILD)/engine/cpu/levels.o: private CPPFLAGS_ALL += -DBL_CPU_ARCH='"$(ARCH)"' $(if $(LEVELS),'-DBL_CPU_LEVELS(ROW)=$(LEVEL_ROWS)')

# Many processes: built if there is an MPI compiler (apt-get install libopenmpi-dev openmpi-bin). Where Debian has both,
# mpicc is Open MPI's; MPICC=mpicc.mpich is for mpirun.mpich.
MPICC ?= $(shell command -v mpicc 2>/dev/null)

all: $(BUILD)/libbertlua.so $(BUILD)/bertlua-hdf5 $(BUILD)/cdef.h $(if $(MAIN_SRC),$(BUILD)/bertlua) $(if $(MPICC),$(BUILD)/libbertlua-mpi.so)

quote = '$(subst ','\'',$(1))'

# Rewritten only when the compiler, the flags or what "native" means differ from those of the last build: a tree that was
# carried to another machine is built anew.
TARGET := $(shell $(CC) -march=$(ARCH) -dM -E -x c /dev/null 2>/dev/null | cksum)
FLAGS := $(TARGET) $(CC) $(LEVELS) $(CPPFLAGS_ALL) $(MAIN_CPPFLAGS) $(CFLAGS_ALL) $(LIBS) $(MAIN_LIBS) $(LDFLAGS_ALL)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(call quote,$(FLAGS)) | cmp -s - $@ || printf '%s\n' $(call quote,$(FLAGS)) > $@

$(BUILD)/engine/%.o: engine/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

# The same sources for another level: one object, of whose symbols only two are seen outside, with the level in their names.
define LEVEL_RULES
$(BUILD)/$(1)/engine/%.o: engine/%.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,"$$< for $(1)")
	$$(Q)$$(CC) $$(CPPFLAGS_ALL) $$(foreach name,bl_cpu_backend bl_cpu_needs,-D$$(name)=$$(name)_$(subst -,_,$(1))) \
	  $$(CFLAGS_ALL) $$(call LEVEL_FLAGS,$(1)) -MMD -MP -c $$< -o $$@
$(BUILD)/$(1)/kernels.o: $(LEVEL_SRC:%.c=$(BUILD)/$(1)/%.o)
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) -r -nostdlib $$^ -o $$@.tmp
	$$(Q)$$(OBJCOPY) $$(foreach name,bl_cpu_backend bl_cpu_needs,-G $$(name)_$(subst -,_,$(1))) $$@.tmp $$@
	$$(Q)rm $$@.tmp
endef
$(foreach level,$(LEVELS),$(eval $(call LEVEL_RULES,$(level))))

$(BUILD)/bindings/%.o: bindings/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(MAIN_CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

# Linked to a temporary file and renamed, so that running processes keep their library. nodelete: who closes the library
# (LuaJIT does, when its state ends) must not unmap it, nor oneDNN and OpenMP, under the threads that still run in them.
$(BUILD)/libbertlua.so: $(ENGINE_OBJ) $(LEVELS:%=$(BUILD)/%/kernels.o) $(BUILD)/flags
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -fopenmp -Wl,-soname,libbertlua.so.$(ABI) -Wl,-z,nodelete $(if $(SANITIZE),,-Wl,-z,defs) $(LDFLAGS_ALL) \
	  $(ENGINE_OBJ) $(LEVELS:%=$(BUILD)/%/kernels.o) -o $@.tmp $(LIBS) -ldl
	$(Q)mv $@.tmp $@
	$(Q)ln -sf libbertlua.so $@.$(ABI)

# What reads HDF5 files, in a process of its own (engine/hdf5/main.c); it is looked for beside libbertlua.so. Linked with
# the static library where there is one: the shared one brings curl and 30 more, which take 8 ms of each start.
$(BUILD)/bertlua-hdf5: $(HDF5_OBJ) $(CPU_CHECK) $(BUILD)/flags
	$(call say,LINK,$@)
	$(Q){ test -n '$(HDF5_ARCHIVE)' && $(LINK_HDF5) -Wl,--as-needed $(HDF5_ARCHIVE) -lsz -lz -ldl -lm -lpthread 2>/dev/null; } || \
	  $(LINK_HDF5) $(HDF5_LIBS)
	$(Q)mv $@.tmp $@

# Rewritten only when the MPI differs, as flags is.
$(BUILD)/mpi-flags: FORCE
	@mkdir -p $(@D)
	@$(MPICC) -show 2>&1 | cmp -s - $@ || $(MPICC) -show > $@ 2>&1

$(BUILD)/libbertlua-mpi.so: engine/mpi/mpi.c engine/comm/p2p.h $(BUILD)/flags $(BUILD)/mpi-flags
	$(call say,MPICC,$@)
	$(Q)OMPI_CC='$(CC)' MPICH_CC='$(CC)' $(MPICC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -shared $(LDFLAGS_ALL) $< -o $@.tmp
	$(Q)mv $@.tmp $@

# The CUDA backend is a separate shared object, which libbertlua.so opens on demand. It has kernels for each of
# CUDA_ARCHS, and compute_90 code for the driver to compile on anything newer.
CUDA_HOME ?= $(or $(patsubst %/bin/nvcc,%,$(shell command -v nvcc 2>/dev/null)),/usr/local/cuda)
CUDA_ARCHS ?= 80 89 90a
NVCC := $(CUDA_HOME)/bin/nvcc
CUDA_SRC := $(wildcard engine/cuda/*.cu)
CUDA_OBJ := $(CUDA_SRC:%.cu=$(BUILD)/%.o)
NVCC_FLAGS := $(foreach arch,$(CUDA_ARCHS),-gencode=arch=compute_$(arch)$(comma)code=sm_$(arch)) \
  -gencode=arch=compute_90$(comma)code=compute_90 -O3 -lineinfo -std=c++17 --threads 2 \
  $(if $(WERROR),--Werror all-warnings) -Xptxas -v -Xcompiler -Wall,-Wextra,$(WERROR:%=%$(comma))-fPIC,-fvisibility=hidden -Iengine

cuda: $(BUILD)/libbertlua-cuda.so

$(NVCC):
	@echo "make cuda: no nvcc in PATH or in $(CUDA_HOME)/bin: install the CUDA toolkit (12.4 or newer), or set CUDA_HOME"
	@false

$(BUILD)/cuda-flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(call quote,$(NVCC) $(NVCC_FLAGS)) | cmp -s - $@ || \
	  printf '%s\n' $(call quote,$(NVCC) $(NVCC_FLAGS)) > $@

# What ptxas reports about registers and spills is kept next to the object, for scripts/check_spills.lua.
$(BUILD)/engine/cuda/%.o: engine/cuda/%.cu $(BUILD)/cuda-flags | $(NVCC)
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(NVCC_FLAGS) -MMD -MP -c $< -o $@ > $(@:.o=.ptxas) 2>&1 || { cat $(@:.o=.ptxas) >&2; false; }

# cudart is linked in; cuBLASLt must be installed where this runs; cuDNN and the driver are looked up at run time.
$(BUILD)/libbertlua-cuda.so: $(CUDA_OBJ) $(BUILD)/libbertlua.so
	$(call say,LINK,$@)
	$(Q)$(CXX) -shared -o $@.tmp $(CUDA_OBJ) -L$(CUDA_HOME)/lib64 -L$(BUILD) -lcudart_static -lcublasLt -lbertlua -ldl \
	  -lrt -lpthread -Wl,--exclude-libs,ALL -Wl,-rpath,'$$ORIGIN' -Wl,-rpath,$(abspath $(CUDA_HOME))/lib64 -Wl,-z,defs
	$(Q)mv $@.tmp $@

# The same kernels built with the host compiler (spec/cuda/emulation), so that a machine without a GPU can test them: once
# as they are, and once with a call before every access of a kernel, for the watch over memory (races.cc).
EMULATION_SRC := $(wildcard spec/cuda/emulation/*.cc spec/cuda/emulation/*.c)
EMULATION_FLAGS := -DBL_CUDA_EMULATION -Ispec/cuda/emulation -Iengine -isystem $(CUDA_HOME)/include -g -march=$(ARCH) \
  -fPIC -fvisibility=hidden -Wall -Wextra $(WERROR) -Wno-unknown-pragmas -Wno-maybe-uninitialized
# Files that hold kernels.
EMULATED_KERNELS := $(CUDA_SRC) $(patsubst %,spec/cuda/emulation/%.cc,faults fragments race_faults)

# The name of the variant and its flags; those of kernels are in a variable.
define EMULATION
$(1)_OBJ := $$(CUDA_SRC:%.cu=$$(BUILD)/$(1)/%.o) $$(EMULATION_SRC:%=$$(BUILD)/$(1)/%.o)

$$(BUILD)/$(1)/flags: FORCE
	@mkdir -p $$(@D)
	@printf '%s\n' $$(call quote,$$(CXX) $$(EMULATION_FLAGS) $(2) $$($(1)_KERNEL_FLAGS)) | cmp -s - $$@ || \
	  printf '%s\n' $$(call quote,$$(CXX) $$(EMULATION_FLAGS) $(2) $$($(1)_KERNEL_FLAGS)) > $$@

$$(BUILD)/$(1)/%.o: %.cu $$(BUILD)/$(1)/flags | $$(NVCC)
	@mkdir -p $$(@D)
	$$(call say,EMUL,$$<)
	$$(Q)$$(CXX) -x c++ -std=c++17 $$(EMULATION_FLAGS) $(2) $$($(1)_KERNEL_FLAGS) -Wno-class-memaccess -MMD -MP -c $$< -o $$@

$$(BUILD)/$(1)/%.cc.o: %.cc $$(BUILD)/$(1)/flags | $$(NVCC)
	@mkdir -p $$(@D)
	$$(call say,EMUL,$$<)
	$$(Q)$$(CXX) -std=c++17 $$(EMULATION_FLAGS) $(2) $$(if $$(filter $$(EMULATED_KERNELS),$$<),$$($(1)_KERNEL_FLAGS)) -MMD -MP -c $$< -o $$@

$$(BUILD)/$(1)/%.c.o: %.c $$(BUILD)/$(1)/flags | $$(NVCC)
	@mkdir -p $$(@D)
	$$(call say,EMUL,$$<)
	$$(Q)$$(CC) -std=c11 -D_GNU_SOURCE $$(EMULATION_FLAGS) $(2) -MMD -MP -c $$< -o $$@

$$(BUILD)/libbertlua-cuda-$(1).so: $$($(1)_OBJ) $$(BUILD)/libbertlua.so
	$$(call say,LINK,$$@)
	$$(Q)$$(CXX) -shared -o $$@.tmp $$($(1)_OBJ) -L$$(BUILD) -lbertlua -ldl -lm -lpthread -Wl,-rpath,'$$$$ORIGIN' -Wl,-z,defs
	$$(Q)mv $$@.tmp $$@
endef
$(eval $(call EMULATION,emulated,-O2))
watched_KERNEL_FLAGS := -fsanitize=thread$(comma)alignment$(comma)bounds
$(eval $(call EMULATION,watched,-O1 -DBL_EMULATION_RACES))

# What nvcc makes of every kernel before it chooses registers, for the emulation's interpreter (spec/cuda/emulation/ptx.h).
PTX := $(CUDA_SRC:engine/cuda/%.cu=$(BUILD)/ptx/%.ptx)
PTX_ARCH ?= 90
PTX_FLAGS := -arch=compute_$(PTX_ARCH) -ptx -O3 -std=c++17 -Iengine
$(BUILD)/ptx/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(call quote,$(NVCC) $(PTX_FLAGS)) | cmp -s - $@ || \
	  printf '%s\n' $(call quote,$(NVCC) $(PTX_FLAGS)) > $@
$(BUILD)/ptx/%.ptx: engine/cuda/%.cu $(BUILD)/ptx/flags | $(NVCC)
	$(call say,PTX,$<)
	$(Q)$(NVCC) $(PTX_FLAGS) -MMD -MP -o $@ $<

$(BUILD)/cdef.h: $(CDEF_HEADERS) Makefile
	@mkdir -p $(@D)
	$(call say,CDEF,$@)
	$(Q)awk '/CDEF-END/ { on = 0 } on { print } /CDEF-BEGIN/ { on = 1 }' $(CDEF_HEADERS) > $@.tmp
	$(Q)mv $@.tmp $@

$(BUILD)/bertlua: $(MAIN_OBJ) $(CPU_CHECK) $(BUILD)/flags
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $(MAIN_OBJ) $(CPU_CHECK) -o $@.tmp $(MAIN_LIBS) -Wl,-E
	$(Q)mv $@.tmp $@

VERSION = $(shell sed -n 's/^ *return "\([0-9.]*\)";$$/\1/p' engine/core/status.c)

# DESTDIR is for packagers: files are installed below it, but refer only to PREFIX.
INSTALL = BUILD=$(call quote,$(BUILD)) PREFIX=$(call quote,$(PREFIX)) LIBDIR=$(call quote,$(LIBDIR)) ABI=$(ABI) \
  DESTDIR=$(call quote,$(DESTDIR)) PRIVATE_LIBS=$(call quote,$(LIBS) -lgomp -ldl) \
  VERSION=$(VERSION) scripts/install.sh

install: all $(BUILD)/bertlua.1
	@$(INSTALL) install

# For LuaRocks (scripts/rockspec.in): in PREFIX as ever, with a command in BINDIR and a module in LUADIR that lead to it.
rock: install
	$(Q)mkdir -p '$(BINDIR)' '$(LUADIR)'
	$(Q)printf '#!/bin/sh\nexec "%s/bin/bertlua" "$$@"\n' '$(PREFIX)' > '$(BINDIR)/bertlua'
	$(Q)chmod 755 '$(BINDIR)/bertlua'
	$(Q)printf 'return assert(loadfile "%s/share/lua/5.1/bertlua.lua")(...)\n' '$(PREFIX)' > '$(LUADIR)/bertlua.lua'

uninstall:
	@$(INSTALL) remove

$(BUILD)/bertlua.1: $(BUILD)/bertlua $(BUILD)/libbertlua.so $(BUILD)/cdef.h scripts/man_page.lua \
  lua/bertlua/prompt/commands.lua $(wildcard recipes/*.lua)
	$(call say,MAN,$@)
	$(Q)$(BUILD)/bertlua scripts/man_page.lua > $@.tmp
	$(Q)mv $@.tmp $@

# What is committed, as an archive that is the same wherever and whenever it is made.
DIST = $(BUILD)/dist/bertlua-$(VERSION)
dist:
	@mkdir -p $(dir $(DIST))
	@test -z "$$(git status --porcelain)" || echo "make dist takes what is committed; git status lists what is not" >&2
	$(Q)git -c tar.tar.gz.command='gzip -9n' archive --prefix=bertlua-$(VERSION)/ -o $(DIST).tar.gz HEAD
	$(Q)sed 's/VERSION/$(VERSION)/g' scripts/rockspec.in > $(DIST)-1.rockspec
	@echo $(DIST).tar.gz

help:
	@sed -n '/^[^#]/q; /^$$/q; s/^# \{0,1\}//p' Makefile

clean:
	rm -rf $(BUILD) build-asan build-tsan $(FUZZ_BUILD)

test:
	@scripts/install_dependencies.sh build test
	@$(MAKE) --no-print-directory suite

# No leak detection: LuaJIT is not instrumented, and contexts live as long as their process.
asan:
	@scripts/install_dependencies.sh build test
	@$(MAKE) --no-print-directory SANITIZE=1 BUILD=build-asan OPT=-O1 suite

# The test framework, too, loops over pairs, and is loaded before our modules; another Lua starts it first.
BUSTED := LUA_INIT="if jit then dofile '$(CURDIR)/bindings/bertlua/jit_guard.lua' end" busted $(BUSTED_ARGS)

RUNTIMES = $(foreach name,libasan.so libubsan.so,$(shell $(CC) -print-file-name=$(name)))
SUITE = $(if $(SANITIZE),ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 LD_PRELOAD='$(RUNTIMES)') \
  BERTLUA_LIB='$(abspath $(BUILD))/libbertlua.so' BERTLUA_BIN='$(abspath $(BUILD))/bertlua' $(BUSTED)
# Processes that meet, fall silent and die spend most of their time waiting: their specs run while the others compute.
WAITING_SPECS := spec/engine/comm
OTHER_SPECS := $(filter-out spec/engine spec/fixtures spec/peers spec/support,$(wildcard spec/*)) \
  $(filter-out $(WAITING_SPECS),$(wildcard spec/engine/*))
# BUSTED_ARGS that name files or folders of spec/ choose what to run.
suite: $(if $(filter spec/%,$(BUSTED_ARGS)),suite-chosen,suite-waiting suite-others)
suite-chosen: all
	@$(SUITE)
suite-waiting: all
	@$(SUITE) $(WAITING_SPECS)
suite-others: all
	@$(SUITE) $(OTHER_SPECS)

# The specs that run on every device: ops and optimizers, each kernel against float64 references, and training. They run
# on this machine's GPU or on the emulation, where timings are meaningless.
TRAINING_SPECS := spec/lua/models spec/lua/encoder spec/lua/jobs \
  $(addprefix spec/lua/data/,loader_spec.lua sequences_spec.lua stream_spec.lua) \
  $(addprefix spec/recipes/,answer_spec.lua examples_spec.lua finetune_classify_spec.lua own_model_spec.lua) \
  spec/recipes/finetune_embeddings_spec.lua \
  $(addprefix spec/recipes/,own_model_steps_spec.lua trace_spec.lua) \
  $(addprefix spec/cuda/,training_spec.lua failures_spec.lua memory_plan_spec.lua)
OP_SPECS := spec/engine/ops spec/engine/optim spec/engine/core/half_spec.lua spec/engine/core/philox_spec.lua \
  $(addprefix spec/bindings/,creation_spec.lua device_spec.lua ownership_spec.lua tensor_index_spec.lua) \
  spec/bindings/tensor_math_spec.lua spec/bindings/tensor_methods_spec.lua spec/lua/autograd spec/lua/nn spec/lua/train \
  $(filter-out $(TRAINING_SPECS),$(wildcard spec/cuda/*_spec.lua))
DEVICE_TEST = BERTLUA_TEST_DEVICE=cuda XDG_CACHE_HOME='$(abspath $(BUILD))/cache/$@' BERTLUA_LIB='$(abspath $(BUILD))/libbertlua.so' \
  BERTLUA_BIN='$(abspath $(BUILD))/bertlua' $(BUSTED)

test-cuda: test-cuda-ops test-cuda-training
test-cuda-ops: all cuda $(BUILD)/libfragments.so
	$(Q)BERTLUA_CUDA_LIB= $(DEVICE_TEST) $(OP_SPECS)
test-cuda-training: all cuda
	$(Q)BERTLUA_CUDA_LIB= $(DEVICE_TEST) $(TRAINING_SPECS)

# A build for any x86-64 has kernels for each level of it: the specs of what they compute, on those of each level that
# this CPU runs.
LEVELS_BUILD ?= build-levels
LEVEL_SPECS := spec/engine/ops spec/engine/optim spec/engine/cpu spec/lua/models \
  $(patsubst %,spec/engine/core/%_spec.lua,cpu_check half philox)
test-levels:
	@$(MAKE) --no-print-directory ARCH=x86-64 BUILD=$(LEVELS_BUILD) all
	@for level in x86-64 $(LEVELS_ABOVE_x86-64); do \
	  export BERTLUA_MAX_CPU=$$level BERTLUA_LIB='$(abspath $(LEVELS_BUILD))/libbertlua.so' \
	    BERTLUA_BIN='$(abspath $(LEVELS_BUILD))/bertlua'; \
	  if $(LEVELS_BUILD)/bertlua --version | grep -q " kernels for $$level,"; then \
	    echo "kernels for $$level"; $(BUSTED) $(LEVEL_SPECS) || exit 1; \
	  else echo "kernels for $$level: this CPU does not run them"; fi; \
	done

# Two processes in parallel: each uses one core.
test-cuda-emulated: test-emulated-ops test-emulated-training
EMULATED_TEST = BERTLUA_CUDA_LIB='$(abspath $(BUILD))/libbertlua-cuda-emulated.so' $(DEVICE_TEST)
test-emulated-ops: all $(BUILD)/libbertlua-cuda-emulated.so
	$(Q)$(EMULATED_TEST) $(OP_SPECS)
test-emulated-training: all $(BUILD)/libbertlua-cuda-emulated.so
	$(Q)$(EMULATED_TEST) $(TRAINING_SPECS)

# What the instructions of engine/cuda/mma.cuh do with one warp's data, for spec/cuda/fragments_spec.lua.
$(BUILD)/libfragments.so: spec/cuda/emulation/fragments.cc engine/cuda/mma.cuh engine/cuda/kernel.cuh $(BUILD)/cuda-flags | $(NVCC)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(NVCC_FLAGS) -x cu -shared -o $@ $< > $@.ptxas 2>&1 || { cat $@.ptxas >&2; false; }

# The specs of ops under the watch over memory (spec/cuda/emulation/races.h), blocks and threads in an order drawn from
# SEED: two accesses that nothing orders, accesses out of bounds or misaligned, reads of what nobody has written. The
# watch has other words for what emulation_spec.lua plants, and the processes of comm_spec.lua would take too long.
RACE_SPECS ?= $(filter-out spec/lua/% spec/bindings/% $(patsubst %,spec/cuda/%_spec.lua,emulation comm),$(OP_SPECS))
test-cuda-races: all $(BUILD)/libbertlua-cuda-watched.so
	$(Q)seed=$${SEED:-$$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}; BERTLUA_EMULATION_SEED=$$seed \
	  BERTLUA_CUDA_LIB='$(abspath $(BUILD))/libbertlua-cuda-watched.so' $(DEVICE_TEST) $(RACE_SPECS) || \
	  { echo "make $@: the order was that of SEED=$$seed" >&2; false; }

# The tables of docs/gpu.md that predict a step's time on GPUs from what is counted of it (bench/gpu_model.lua): records of
# real steps on the emulation, and the machine code of `make cuda`.
gpu-model: all $(CUDA_OBJ) $(BUILD)/libbertlua-cuda-watched.so
	$(Q)CUDA_HOME='$(CUDA_HOME)' $(BUILD)/bertlua bench/gpu_model.lua --docs docs/gpu.md $(GPU_MODEL_ARGS)

# The specs of ops on the code that nvcc made: the emulation launches, and spec/cuda/emulation/ptx.h runs the PTX.
PTX_SPECS ?= spec/engine/ops spec/engine/optim spec/engine/core/half_spec.lua spec/engine/core/philox_spec.lua \
  $(patsubst %,spec/cuda/%_spec.lua,attention fused matmul ptx ptx_instructions)
test-cuda-ptx: all $(BUILD)/libbertlua-cuda-emulated.so $(PTX)
	$(Q)BERTLUA_EMULATION_PTX='$(abspath $(BUILD))/ptx' $(EMULATED_TEST) $(PTX_SPECS)

# What is lost when a call that writes fails, or the process dies there, for every one; races for the lock of a folder.
# docs/reliability.md has the figures.
$(BUILD)/faults.so: spec/faults/inject.c $(BUILD)/flags
	$(call say,CC,$<)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra $(WERROR) -shared -fPIC -o $@ $< -ldl
faults: all $(BUILD)/faults.so
	$(BUILD)/bertlua spec/faults/run.lua $(BUILD)/faults.so $(FAULTS_ARGS)
	$(BUILD)/bertlua spec/faults/random.lua $(BUILD)/faults.so
	$(BUILD)/bertlua spec/faults/lock_race.lua 1000 4
	$(BUILD)/bertlua spec/faults/lock_race.lua 1000 4 claims

# What becomes of a file when one byte of it changes, for every kind of file.
flips: all
	$(BUILD)/bertlua spec/faults/flips.lua $(FLIPS_ARGS)

# What a parser makes of arbitrary bytes: spec/fuzz has a harness for each, built with clang's libFuzzer, ASan and UBSan.
# FUZZ_SECONDS for each harness, or FUZZ_ARGS="dump wikitext" for some of them; docs/reliability.md has the figures.
# fuzz-corpus is the short form: what was found before, once, and FUZZ_SECONDS of new inputs each.
FUZZ_CC ?= clang
FUZZ_BUILD ?= build-fuzz
FUZZ_SECONDS ?= $(if $(filter fuzz-corpus,$(MAKECMDGOALS)),2,46)
FUZZ_ARGS ?=
FUZZ_FLAGS := -std=c11 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined -fno-common -Wall -Wextra $(WERROR) \
  -Wno-pass-failed -Wno-unknown-pragmas
FUZZ_SANITIZERS := address$(comma)undefined
FUZZ_COVERAGE := -fsanitize=fuzzer-no-link
# Rooms that parse, without those that compute: context.c and affinity.c need OpenMP, backend.c the kernels.
FUZZ_SRC := $(filter-out engine/core/affinity.c engine/core/backend.c engine/core/context.c, \
  $(wildcard $(patsubst %,engine/%/*.c,core storage text wiki corpus data))) engine/hdf5/layout.c engine/hdf5/read.c \
  $(patsubst %,engine/encoder/%.c,answer_text config folder ids json records sentences words)
FUZZ_OBJ := $(FUZZ_SRC:%.c=$(FUZZ_BUILD)/%.o)
FUZZ_NAMES := $(filter-out no_device,$(patsubst spec/fuzz/%.c,%,$(wildcard spec/fuzz/*.c)))
FUZZ_PROGRAMS := $(FUZZ_NAMES:%=$(FUZZ_BUILD)/%)

# Only after the packages are there: which flags pkg-config knows is asked anew.
fuzz fuzz-corpus:
	@scripts/install_dependencies.sh build fuzz
	@echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | $(FUZZ_CC) -fsanitize=fuzzer$(comma)$(FUZZ_SANITIZERS) -x c - \
	  -o /dev/null 2>/dev/null || { echo "make $@: $(FUZZ_CC) is missing or has no libFuzzer: apt-get install clang" \
	  "libclang-rt-dev, or set FUZZ_CC" >&2; false; }
	@$(MAKE) --no-print-directory all fuzz-programs
	$(BUILD)/bertlua spec/fuzz/run.lua $(FUZZ_BUILD) $(FUZZ_SECONDS) $(FUZZ_ARGS)

fuzz-programs: $(FUZZ_PROGRAMS)

$(FUZZ_BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(call quote,$(FUZZ_CC) $(CPPFLAGS_ALL) $(FUZZ_FLAGS)) | cmp -s - $@ || \
	  printf '%s\n' $(call quote,$(FUZZ_CC) $(CPPFLAGS_ALL) $(FUZZ_FLAGS)) > $@

$(FUZZ_BUILD)/%.o: %.c $(FUZZ_BUILD)/flags
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)
	$(Q)$(FUZZ_CC) $(CPPFLAGS_ALL) $(FUZZ_FLAGS) $(FUZZ_COVERAGE) -fsanitize=$(FUZZ_SANITIZERS) -MMD -MP -c $< -o $@

# What a table is made of are ICU's data, never the input; watching that takes most of the time.
$(FUZZ_BUILD)/engine/text/unicode_table.o: FUZZ_COVERAGE := -O2

$(FUZZ_BUILD)/parsers.a: $(FUZZ_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $(FUZZ_OBJ)

$(FUZZ_PROGRAMS): $(FUZZ_BUILD)/%: $(FUZZ_BUILD)/spec/fuzz/%.o $(FUZZ_BUILD)/spec/fuzz/no_device.o $(FUZZ_BUILD)/parsers.a
	$(call say,LINK,$@)
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer$(comma)$(FUZZ_SANITIZERS) $^ -o $@ \
	  $(if $(HDF5_ARCHIVE),$(HDF5_ARCHIVE) -lsz,$(HDF5_LIBS)) $(or $(call pkg,--libs icu-uc icu-i18n),-licui18n -licuuc) \
	  $(or $(call pkg,--libs jansson),-ljansson) -lbz2 -lz -lcurl -lm -lpthread -ldl

# A C program with one encoder: its threads under ThreadSanitizer, which sees all of the engine but not into oneDNN and
# OpenMP (tsan.supp); and a million calls. The specs run short forms of both.
ENCODER_MODEL := $(BUILD)/encoder-model
$(BUILD)/encoder-threads: spec/engine/encoder/threads.c $(BUILD)/libbertlua.so
	$(call say,CC,$<)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -Iengine $(SANITIZE_FLAGS) -o $@ $< -L$(BUILD) -lbertlua \
	  -lpthread -Wl,-rpath,'$$ORIGIN' -Wl,--allow-shlib-undefined
encoder-model: all
	$(Q)$(BUILD)/bertlua spec/support/write_graph_model.lua $(ENCODER_MODEL) $(ENCODER_MODEL)/texts
tsan: encoder-model
	@$(MAKE) --no-print-directory SANITIZE=thread BUILD=build-tsan OPT=-O1 build-tsan/encoder-threads
	TSAN_OPTIONS="suppressions=$(CURDIR)/spec/engine/encoder/tsan.supp" setarch -R \
	  build-tsan/encoder-threads check $(ENCODER_MODEL) $(ENCODER_MODEL)/texts 8 20
	TSAN_OPTIONS="suppressions=$(CURDIR)/spec/engine/encoder/tsan.supp" setarch -R \
	  build-tsan/encoder-threads check $(ENCODER_MODEL) $(ENCODER_MODEL)/texts 8 20 921600
encoder-soak: encoder-model $(BUILD)/encoder-threads
	$(BUILD)/encoder-threads soak $(ENCODER_MODEL) $(ENCODER_MODEL)/texts $(or $(CALLS),1000000)

# CORPUS=folder trains on your own text files instead of the Jargon File.
demo:
	@scripts/install_dependencies.sh build $(if $(CORPUS),,demo)
	@$(MAKE) --no-print-directory all
	$(BUILD)/bertlua recipes/demo.lua $(if $(CORPUS),--corpus '$(CORPUS)') $(DEMO_ARGS)

# Every check and measurement that needs a GPU, as Markdown (docs/gpu.md). PYTHON: one with torch, for comparison.
gpu-report: all cuda
	$(BUILD)/bertlua scripts/gpu_report.lua --output $(BUILD)/gpu-report.md $(if $(PYTHON),--python '$(PYTHON)') $(GPU_REPORT_ARGS)

# The Lua API as HTML, from the comments in the sources.
docs: all
	@scripts/install_dependencies.sh build docs
	$(Q)$(BUILD)/bertlua scripts/api_docs.lua $(BUILD)/docs

# Two false alarms: a row has at least one class, a dataset at least one dimension.
CPPCHECK_FALSE := --suppress=invalidFunctionArg:engine/cpu/cross_entropy.c --suppress=uninitvar:engine/data/hdf5_write.c
C_FILES = $(wildcard engine/*.h engine/*/*.[ch] bindings/*.[ch] spec/support/*.c spec/faults/*.c spec/fuzz/*.[ch] spec/engine/*/*.c \
  examples/*.c)
CUDA_FILES = $(wildcard engine/cuda/*.cu engine/cuda/*.cuh spec/cuda/emulation/*)
lint:
	@scripts/install_dependencies.sh build lint
	luacheck -q .
	$(call say,FORMAT,"$(words $(C_FILES) $(CUDA_FILES)) C and CUDA files")
	$(Q)clang-format --dry-run -Werror $(C_FILES) $(CUDA_FILES)
	$(call say,CHECK,"$(words $(filter %.c,$(C_FILES))) C files with cppcheck")
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --language=c --inline-suppr --enable=warning,performance,portability \
	  --suppress=missingIncludeSystem --suppress=preprocessorErrorDirective -D__GNUC__=12 -Iengine \
	  $(CPPCHECK_FALSE) $(filter %.c,$(C_FILES))

# Kernels that spill, and what else of their machine code has become worse: scripts/sass_table.txt.
lint-sass: all $(CUDA_OBJ)
	$(Q)$(BUILD)/bertlua scripts/check_spills.lua $(BUILD)/engine/cuda
	$(Q)CUDA_HOME='$(CUDA_HOME)' $(BUILD)/bertlua scripts/lint_sass.lua $(BUILD)/engine/cuda

FORCE:
-include $(ENGINE_OBJ:.o=.d) $(LEVEL_OBJ:.o=.d) $(HDF5_OBJ:.o=.d) $(MAIN_OBJ:.o=.d) $(CUDA_OBJ:.o=.d) $(emulated_OBJ:.o=.d) $(watched_OBJ:.o=.d) \
  $(PTX:.ptx=.d)
-include $(FUZZ_OBJ:.o=.d) $(FUZZ_NAMES:%=$(FUZZ_BUILD)/spec/fuzz/%.d)
.PHONY: all help install uninstall clean demo cuda docs dist rock gpu-report FORCE
.PHONY: test suite suite-chosen suite-waiting suite-others asan tsan encoder-soak lint lint-sass
.PHONY: test-levels test-cuda test-cuda-emulated test-cuda-races test-cuda-ptx gpu-model faults flips fuzz
.PHONY: fuzz-corpus
.PHONY: test-cuda-ops test-cuda-training test-emulated-ops test-emulated-training encoder-model fuzz-programs
.DELETE_ON_ERROR:
