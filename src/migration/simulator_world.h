// The simulator's world: what the two nodes' kernels and records hold, that is, what survives a worker. Effects change
// it through the functions below, and every change is held against the promises of the hand-over at once. What only an
// all-knowing observer can say (has the destination ever run? did it ever say REFUSED?) is noted beside it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace godwit::migration::simulation {

enum class Copy : uint8_t { absent, held, running, dead };  // held: by its cgroup's freezer
enum class SourceRecord : uint8_t { none, given_away };
enum class DestinationRecord : uint8_t { none, go, refusal };
enum class Verdict : uint8_t { none, moved, stayed, lost, running, refused };  // none: the session is unfinished
enum class Decision : uint8_t { none, keep, end };  // the operator's, about the copy of a destination that is dead
enum class AddressOwner : uint8_t { nobody, source, destination };

std::string_view copy_name(Copy copy);

struct SourceNode {
  Copy copy = Copy::running;
  bool outgoing_open = true;
  bool incoming_open = true;
  bool session = true;  // its directory in /run; gone with a reboot
  SourceRecord record = SourceRecord::none;
  uint32_t recorded_epoch = 0;
  Verdict verdict = Verdict::none;

  [[nodiscard]] bool can_send() const { return (copy == Copy::held || copy == Copy::running) && outgoing_open; }
};

struct DestinationNode {
  uint32_t boot_id = 1;
  Copy copy = Copy::absent;
  bool slot = false;
  bool outgoing_open = false;
  bool parking = false;
  uint32_t parked_packets = 0;
  bool pages_whole = false;  // no page of the copy depends on the worker any more
  bool session = false;
  DestinationRecord record = DestinationRecord::none;
  Verdict verdict = Verdict::none;

  [[nodiscard]] bool can_send() const { return (copy == Copy::held || copy == Copy::running) && outgoing_open; }
};

// Owned by one schedule. The first broken promise is kept in violation(); nothing stops at it.
class World {
 public:
  SourceNode source;
  DestinationNode destination;
  AddressOwner address = AddressOwner::source;

  // The source's effects, in the steps that a crash can come between.
  void freeze_source();
  void close_outgoing() { source.outgoing_open = false; }
  void close_incoming(uint32_t epoch);
  void complete_dump(uint32_t epoch) { dumped_epoch_ = epoch; }
  void record_given_away(uint32_t epoch);
  void take_back_record() { source.record = SourceRecord::none; }
  void thaw_source();
  void open_source_gates();
  void announce_source();
  void kill_source();
  void finish_source(Verdict verdict);

  // The destination's.
  void make_slot() { destination.slot = true; }
  void park() { destination.parking = true; }
  void announce_destination(uint32_t epoch);
  void drop_parked();
  void withdraw_address();
  void release_address();
  void restore_destination(uint32_t epoch);
  void record_go();
  void thaw_destination();
  void release_parked();
  void open_destination_gate() { destination.outgoing_open = true; }
  void close_destination_gate() { destination.outgoing_open = false; }
  void record_refusal();
  void remove_destination_copy();
  void remove_slot();
  void finish_destination(Verdict verdict);
  void forget_session();

  // What happens to them.
  void packet_from_client();
  void reboot_source();
  void reboot_destination();
  void destination_dies();  // for good
  void abandoned(Decision decision) { decision_ = decision; }
  bool kill_container();  // the operator's container ends, by itself or killed; false: there was none
  // The destination's worker died, and with it the packets that were parked and the pages that were not placed yet.
  void lose_destination_worker();

  // What is said, for the promises about words.
  void said_prepared() { prepared_boot_ = destination.boot_id; }
  void said_take_address(uint32_t epoch) { asked_epoch_ = epoch; }
  void said_release_address(uint32_t epoch) { released_epoch_ = epoch; }
  void said_restore(uint32_t epoch);
  void said_go() { gave_away_ = true; }
  void heard_go() { heard_go_ = true; }
  void said_refused();
  void said_running();
  void heard_reboot() { heard_reboot_ = true; }

  [[nodiscard]] bool destination_dead() const { return destination_dead_; }
  [[nodiscard]] uint32_t prepared_boot() const { return prepared_boot_; }
  [[nodiscard]] const std::string& violation() const { return violation_; }
  void violate(std::string_view what);
  void check();      // after every step
  void check_end();  // when nothing is left to happen

 private:
  void check_end_verdicts();
  void check_end_leftovers();

  uint32_t prepared_boot_ = 0;
  uint32_t asked_epoch_ = 0;     // the newest attempt for which the source asked for the address
  uint32_t taken_epoch_ = 0;     // the newest attempt for which the destination has it
  uint32_t released_epoch_ = 0;  // the newest attempt that the source called over
  uint32_t dumped_epoch_ = 0;    // the attempt whose dump is complete, while the source has not run since
  uint32_t complete_epoch_ = 0;  // the attempt that the source called complete
  bool pages_lost_ = false;
  bool gave_away_ = false;
  bool heard_go_ = false;
  bool ever_ran_there_ = false;
  bool said_refused_ = false;
  bool heard_reboot_ = false;
  bool destination_rebooted_ = false;  // after it was prepared
  bool destination_dead_ = false;
  Decision decision_ = Decision::none;  // as far as the source has obeyed it
  bool source_rebooted_ = false;
  bool may_be_lost_ = false;  // a node or the container itself died in a way that no protocol can repair
  std::string violation_;
};

}  // namespace godwit::migration::simulation
