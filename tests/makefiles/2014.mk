# The spring of 2014 (v0.999): the lines that matter on OS X, in a Makefile of our own that makes nothing.
CONFIG_FILE := Makefile.config
include $(CONFIG_FILE)

LIBRARIES := glog protobuf boost_system
WARNINGS := -Wall

UNAME := $(shell uname -s)
ifeq ($(UNAME), Linux)
	LINUX := 1
else ifeq ($(UNAME), Darwin)
	OSX := 1
endif

ifeq ($(LINUX), 1)
	CXX := /usr/bin/g++
endif

ifeq ($(OSX), 1)
	CXX := /usr/bin/clang++
	ifneq ($(findstring 10.9, $(shell sw_vers -productVersion)),)
		CXXFLAGS += -stdlib=libstdc++
	endif
endif

BLAS ?= atlas
ifeq ($(BLAS), open)
	LIBRARIES += openblas
else
	ifeq ($(LINUX), 1)
		LIBRARIES += cblas atlas
	else ifeq ($(OSX), 1)
		# OS X packages atlas as the vecLib framework
		BLAS_INCLUDE ?= /System/Library/Frameworks/vecLib.framework/Versions/Current/Headers/
		LIBRARIES += cblas
		LDFLAGS += -framework vecLib
	endif
endif
INCLUDE_DIRS += $(BLAS_INCLUDE)

COMMON_FLAGS += $(foreach includedir,$(INCLUDE_DIRS),-I$(includedir))
CXXFLAGS += $(COMMON_FLAGS)
LINKFLAGS += $(COMMON_FLAGS)
LDFLAGS += $(foreach library,$(LIBRARIES),-l$(library))

all:
