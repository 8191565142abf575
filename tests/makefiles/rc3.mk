# September 2015 to August 2016 (rc3): the lines that matter on OS X, in a Makefile of our own that makes nothing.
CONFIG_FILE := Makefile.config
include $(CONFIG_FILE)

LIBRARIES := glog gflags protobuf boost_system
WARNINGS := -Wall

UNAME := $(shell uname -s)
ifeq ($(UNAME), Linux)
	LINUX := 1
else ifeq ($(UNAME), Darwin)
	OSX := 1
endif

ifeq ($(LINUX), 1)
	CXX ?= /usr/bin/g++
	LIBRARIES += boost_thread stdc++
endif

ifeq ($(OSX), 1)
	CXX := /usr/bin/clang++
	ifneq ($(CPU_ONLY), 1)
		CUDA_VERSION := $(shell $(CUDA_DIR)/bin/nvcc -V | grep -o 'release [0-9.]*' | tr -d '[a-z ]')
		ifeq ($(shell echo | awk '{exit $(CUDA_VERSION) < 7.0;}'), 1)
			CXXFLAGS += -stdlib=libstdc++
			LINKFLAGS += -stdlib=libstdc++
		endif
		WARNINGS += -Wno-unneeded-internal-declaration
	endif
	COMMON_FLAGS += -DGTEST_USE_OWN_TR1_TUPLE=1
	LIBRARIES += boost_thread-mt
endif

BLAS ?= atlas
ifeq ($(BLAS), open)
	LIBRARIES += openblas
else
	ifeq ($(LINUX), 1)
		LIBRARIES += cblas atlas
	else ifeq ($(OSX), 1)
		# OS X packages atlas as the vecLib framework
		LIBRARIES += cblas
		# 10.10 has accelerate while 10.9 has veclib
		XCODE_CLT_VER := $(shell pkgutil --pkg-info=com.apple.pkg.CLTools_Executables | grep 'version' | sed 's/[^0-9]*\([0-9]\).*/\1/')
		XCODE_CLT_GEQ_6 := $(shell [ $(XCODE_CLT_VER) -gt 5 ] && echo 1)
		ifeq ($(XCODE_CLT_GEQ_6), 1)
			BLAS_INCLUDE ?= /System/Library/Frameworks/Accelerate.framework/Versions/Current/Frameworks/vecLib.framework/Headers/
			LDFLAGS += -framework Accelerate
		else
			BLAS_INCLUDE ?= /System/Library/Frameworks/vecLib.framework/Versions/Current/Headers/
			LDFLAGS += -framework vecLib
		endif
	endif
endif
INCLUDE_DIRS += $(BLAS_INCLUDE)

COMMON_FLAGS += $(foreach includedir,$(INCLUDE_DIRS),-I$(includedir))
CXXFLAGS += $(COMMON_FLAGS)
LINKFLAGS += $(COMMON_FLAGS)
LDFLAGS += $(foreach library,$(LIBRARIES),-l$(library))

all:
