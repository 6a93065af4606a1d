// How much the simulator's tests can afford: with a sanitizer everything takes ten times as long.
#pragma once

#include <cstdint>

namespace godwit::migration::simulation {

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

constexpr uint64_t schedules_default = sanitized ? 20'000 : 1'000'000;

}  // namespace godwit::migration::simulation
