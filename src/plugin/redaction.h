// Objects as they may leave a cluster in a bug report. Pure: JSON in, JSON out.
//
// Of a pod stays what is named here, and nothing else: what its author wrote for the program (commands, arguments,
// values of environment variables, annotations of other programs, options of volumes) and what the program said
// (termination messages, output of probes) may hold passwords.
#pragma once

#include <nlohmann/json.hpp>

namespace godwit::plugin {

inline constexpr const char* removed = "(removed)";

// By the object's kind: Pod, Node, Event; of all others metadata is cleaned.
nlohmann::json redact(const nlohmann::json& object);

}  // namespace godwit::plugin
