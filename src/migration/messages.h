// What the two workers of a session say to each other about the hand-over. How a message looks on the wire, and what
// else it carries (the container's description, images), is the agent room's business.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace godwit::migration {

enum class MessageKind : uint8_t {
  prepare,          // S: make everything ready for this container
  prepared,         // D: done; carries D's boot id
  take_address,     // S: the container is frozen; announce its address and park what arrives
  address_taken,    // D
  release_address,  // S: this attempt is over, the container runs on here; drop what is parked, stay prepared
  restore,          // S: pages, files and images are complete; restore, and hold it stopped
  ready,            // D: restored, held by its freezer
  go,               // S: it is yours. The commit point
  running,          // D: it runs here
  refused,          // D: it does not run here, nothing of it is left, and it never will
  undecided,        // D: to a query, while it cannot be said yet; ask again
  abort,            // S: discard
  query,            // S, on a new connection, only after it gave the container away: does it run? Counts as a go
  forget,           // S: its copy is gone; D needs to remember nothing any more
};

std::string_view message_name(MessageKind kind);
std::optional<MessageKind> message_by_name(std::string_view name);

struct Message {
  MessageKind kind = MessageKind::prepare;
  uint32_t epoch = 0;  // the attempt to freeze that it belongs to, from 1; 0 where there was none yet
};

}  // namespace godwit::migration
