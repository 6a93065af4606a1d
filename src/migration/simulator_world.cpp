#include "migration/simulator_world.h"

namespace godwit::migration::simulation {

std::string_view copy_name(Copy copy) {
  switch (copy) {
    case Copy::absent:
      return "absent";
    case Copy::held:
      return "held";
    case Copy::running:
      return "running";
    case Copy::dead:
      return "dead";
  }
  return "?";
}

void World::violate(std::string_view what) {
  if (violation_.empty()) violation_ = what;
}

void World::freeze_source() {
  if (source.copy == Copy::running) source.copy = Copy::held;
}

void World::close_incoming(uint32_t epoch) {
  if (taken_epoch_ != epoch) violate("the source dropped packets before the destination held them back");
  source.incoming_open = false;
}

void World::record_given_away(uint32_t epoch) {
  source.record = SourceRecord::given_away;
  source.recorded_epoch = epoch;
  gave_away_ = true;
  // A node died, and the source could not know it yet.
  if (destination_rebooted_ || destination_dead_) may_be_lost_ = true;
}

void World::thaw_source() {
  if (source.copy != Copy::held) return;
  if (decision_ == Decision::end) violate("the source thawed what the operator had told it to end");
  const bool kept = decision_ == Decision::keep;  // whatever else was heard: the operator knows what that costs
  if (gave_away_ && !said_refused_ && !kept) {
    violate("the source thawed what it had given away, and nobody had refused it");
  }
  if (heard_reboot_ && !kept) violate("the source thawed after it had heard that the destination was rebooted");
  source.copy = Copy::running;
  dumped_epoch_ = 0;
}

void World::open_source_gates() {
  if (source.copy != Copy::running) return;
  source.outgoing_open = true;
  source.incoming_open = true;
}

void World::announce_source() {
  if (source.copy == Copy::running) address = AddressOwner::source;
}

void World::kill_source() {
  if (source.copy == Copy::dead) return;
  if (source.copy == Copy::running) violate("the source killed a copy that was running");
  if (source.outgoing_open) violate("the source killed its copy with open gates: clients see resets");
  if (decision_ == Decision::keep) violate("the source killed what the operator had told it to keep");
  if (!ever_ran_there_ && !destination_rebooted_ && decision_ != Decision::end)
    violate("the source killed its copy, which nobody else had run");
  source.copy = Copy::dead;
  source.outgoing_open = false;
}

void World::finish_source(Verdict verdict) {
  if (source.verdict != Verdict::none) violate("the source finished twice");
  source.verdict = verdict;
  source.record = SourceRecord::none;
}

void World::announce_destination(uint32_t epoch) {
  if (epoch != asked_epoch_ || epoch <= released_epoch_) violate("the destination took the address unasked");
  if (destination.parked_packets > 0) violate("packets of an earlier attempt were still parked");
  taken_epoch_ = epoch;
  address = AddressOwner::destination;
}

void World::drop_parked() {
  if (destination.copy == Copy::running) violate("packets for a running container were dropped");
  destination.parking = false;
  destination.parked_packets = 0;
}

void World::withdraw_address() {
  if (address == AddressOwner::destination) address = AddressOwner::nobody;
}

void World::release_address() {
  if (taken_epoch_ > released_epoch_) violate("the destination released the address in the middle of an attempt");
  drop_parked();
  park();
  withdraw_address();
}

// The source may run again by now, if the word to restore took long: what is restored is held, and will be discarded.
void World::restore_destination(uint32_t epoch) {
  if (complete_epoch_ != epoch) violate("the destination restored what the source had not completed");
  if (!destination.parking) violate("the destination restored without holding the packets back");
  destination.copy = Copy::held;
  destination.pages_whole = false;
}

void World::record_go() {
  if (destination.record == DestinationRecord::refusal) violate("GO was recorded over a refusal");
  destination.record = DestinationRecord::go;
}

void World::thaw_destination() {
  if (destination.copy != Copy::held) return;
  if (!gave_away_) violate("the destination ran what had not been given away");
  if (!heard_go_) violate("the destination ran without GO");
  if (destination.record != DestinationRecord::go) violate("the destination ran before it had recorded GO");
  if (said_refused_) violate("the destination ran what it had refused");
  if (pages_lost_) violate("the destination ran a container whose pages had died with its worker");
  destination.copy = Copy::running;
  ever_ran_there_ = true;
}

void World::release_parked() {
  destination.parking = false;
  destination.parked_packets = 0;
}

void World::record_refusal() {
  destination.record = DestinationRecord::refusal;
}

void World::remove_destination_copy() {
  if (destination.copy == Copy::running) violate("the destination discarded a running container");
  if (destination.copy == Copy::held && destination.outgoing_open) {
    violate("the destination ended its copy behind an open gate: clients see resets");
  }
  if (destination.copy != Copy::absent) destination.copy = Copy::dead;
}

// Nothing answers for the address any more.
void World::remove_slot() {
  destination.slot = false;
  withdraw_address();
}

void World::finish_destination(Verdict verdict) {
  if (destination.verdict != Verdict::none) violate("the destination finished twice");
  destination.verdict = verdict;
}

void World::forget_session() {
  if (!destination.session || destination.verdict == Verdict::none) return;
  destination.session = false;
  destination.record = DestinationRecord::none;
}

void World::packet_from_client() {
  if (address == AddressOwner::destination && destination.parking) ++destination.parked_packets;
}

void World::reboot_source() {
  // Its copy is lost. It lives on only if the other side already has to run it and succeeds.
  may_be_lost_ = true;
  source_rebooted_ = true;
  source = SourceNode{.copy = Copy::dead, .outgoing_open = false, .session = false};
  if (address == AddressOwner::source) address = AddressOwner::nobody;
}

void World::reboot_destination() {
  if (prepared_boot_ == destination.boot_id) {
    destination_rebooted_ = true;
    // The source cannot know whether it ran there, and must not go back to an older state.
    if (gave_away_) may_be_lost_ = true;
  }
  destination = DestinationNode{.boot_id = destination.boot_id + 1};
  withdraw_address();
}

void World::destination_dies() {
  if (gave_away_) may_be_lost_ = true;
  destination_dead_ = true;
  destination = DestinationNode{.boot_id = destination.boot_id + 1};
  withdraw_address();
}

bool World::kill_container() {
  const bool there = destination.copy == Copy::running;
  // A frozen one can be killed, too.
  if (!there && source.copy != Copy::running && source.copy != Copy::held) return false;
  (there ? destination.copy : source.copy) = Copy::dead;
  may_be_lost_ = true;
  return true;
}

void World::lose_destination_worker() {
  // The kernel drops what waits in the queue of a process that ended, and lets pass what comes later.
  destination.parking = false;
  destination.parked_packets = 0;
  if (destination.copy == Copy::held) pages_lost_ = true;
  if (destination.copy != Copy::running || destination.pages_whole) return;
  destination.copy = Copy::dead;
  may_be_lost_ = true;
}

void World::said_restore(uint32_t epoch) {
  if (dumped_epoch_ != epoch) violate("the source called complete what it had not dumped, or what has run since");
  complete_epoch_ = epoch;
}

void World::said_refused() {
  if (prepared_boot_ != destination.boot_id) return;  // the source hears from another boot, and takes it as such
  if (!source.session || source.verdict != Verdict::none) return;  // nobody is left who would act upon it
  if (destination.copy == Copy::running) violate("the destination said REFUSED while it ran");
  if (destination.copy == Copy::held) violate("the destination said REFUSED while it still had a copy");
  said_refused_ = true;
}

void World::said_running() {
  if (!ever_ran_there_) violate("the destination said RUNNING of what it had never run");
}

void World::check() {
  if (source.copy == Copy::running && destination.copy == Copy::running) violate("two copies were running");
  if (source.can_send() && destination.can_send()) violate("two copies could send from one address");
}

void World::check_end() {
  check();
  const bool here = source.copy == Copy::running;
  const bool there = destination.copy == Copy::running;
  if (!here && !there && !may_be_lost_) violate("no copy runs, though no node and no container had died");
  if (source.copy == Copy::held) violate("the source's copy was left frozen");
  if (destination.copy == Copy::held) violate("the destination's copy was left frozen");
  if (here && !(source.outgoing_open && source.incoming_open)) violate("the source runs behind closed gates");
  if (there && !destination.outgoing_open) violate("the destination runs behind a closed gate");
  if (here && address == AddressOwner::destination) violate("the source runs, its address is the destination's");
  if (there && address != AddressOwner::destination) violate("the destination runs without its address");
  check_end_verdicts();
  check_end_leftovers();
}

void World::check_end_verdicts() {
  if (source.session) {
    if (source.verdict == Verdict::none) violate("the source's session was left unfinished");
    if (source.verdict == Verdict::moved && !ever_ran_there_) violate("the source says moved, it never ran there");
    if (source.verdict == Verdict::stayed && ever_ran_there_ && decision_ != Decision::keep)
      violate("the source says stayed, but it was moved");
    if (source.verdict == Verdict::lost && !destination_rebooted_ && decision_ != Decision::end) {
      violate("the source says lost, though no node had died");
    }
  }
  if (destination.session) {
    if (destination.verdict == Verdict::none) violate("the destination's session was left unfinished");
    if (destination.verdict == Verdict::refused && ever_ran_there_) violate("the destination says refused, it ran");
    if (destination.verdict == Verdict::running && !ever_ran_there_) violate("the destination says it ran");
  }
}

void World::check_end_leftovers() {
  if (destination.parked_packets > 0) violate("parked packets were neither released nor dropped");
  if (destination.parking) violate("packets are still being parked");
  if (source.record != SourceRecord::none) violate("the source's record was left");
  // Of a slot, a container that runs keeps everything, a refused one nothing.
  if (destination.session && destination.verdict == Verdict::refused && destination.slot) violate("a slot was left");
}

}  // namespace godwit::migration::simulation
