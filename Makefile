# bertlua: C engine (build/libbertlua.so) and the LuaJIT executable (build/bertlua).
BUILD ?= build
ARCH ?= native
CC ?= gcc
OPT ?= -O3
PKGS := luajit libedit icu-uc icu-i18n
HDF5_CFLAGS := $(shell pkg-config --cflags hdf5 2>/dev/null)
HDF5_LIBS := $(shell pkg-config --libs hdf5 2>/dev/null || echo -lhdf5)
CFLAGS_ALL = -std=c11 -D_GNU_SOURCE $(OPT) -g -march=$(ARCH) -fno-math-errno -fno-trapping-math -fopenmp -fPIC \
  -fvisibility=hidden -Wall -Wextra -Werror -Iengine $(HDF5_CFLAGS) $(shell pkg-config --cflags $(PKGS) 2>/dev/null) $(CFLAGS)
LIBS = -ldnnl $(HDF5_LIBS) $(shell pkg-config --libs icu-uc icu-i18n) -lm -lpthread

ENGINE_SRC := $(wildcard engine/*/*.c)
ENGINE_OBJ := $(ENGINE_SRC:%.c=$(BUILD)/%.o)
MAIN_SRC := $(wildcard bindings/*.c)
MAIN_OBJ := $(MAIN_SRC:%.c=$(BUILD)/%.o)

all: $(BUILD)/libbertlua.so $(if $(MAIN_SRC),$(BUILD)/bertlua)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$(BUILD)/libbertlua.so: $(ENGINE_OBJ)
	$(CC) -shared -fopenmp $(LDFLAGS) $^ -o $@.tmp $(LIBS) && mv $@.tmp $@

$(BUILD)/bertlua: $(MAIN_OBJ) $(BUILD)/libbertlua.so
	$(CC) -fopenmp $(LDFLAGS) $(MAIN_OBJ) -o $@ -Wl,-rpath,'$$ORIGIN' -Wl,-rpath,'$$ORIGIN/../lib/bertlua' -L$(BUILD) -lbertlua \
	  $(shell pkg-config --libs luajit libedit) -Wl,-E

clean:
	rm -rf $(BUILD)

-include $(ENGINE_OBJ:.o=.d) $(MAIN_OBJ:.o=.d)
.PHONY: all clean
