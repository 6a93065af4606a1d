// toml++, which is header only: for sources of this room, never for its headers.
#pragma once

#include <toml++/toml.h>
