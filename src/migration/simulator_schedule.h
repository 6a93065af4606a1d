// One schedule of the simulator: a queue of what is going to happen, in virtual time, and the code that makes it
// happen. Its parts: simulator_schedule.cpp (queue, workers), simulator_effects.cpp (what the machines order),
// simulator_network.cpp (what they say), simulator_faults.cpp (what goes wrong).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "migration/simulator.h"
#include "migration/simulator_random.h"
#include "migration/simulator_world.h"

namespace godwit::migration::simulation {

enum class Side : uint8_t { source, destination };
constexpr std::array<const char*, 2> side_names{"S", "D"};
constexpr Side other(Side side) {
  return side == Side::source ? Side::destination : Side::source;
}

using Time = int64_t;  // microseconds from the start
constexpr Time ms = 1000;

enum class ItemKind : uint8_t {
  event,         // in a worker's inbox: for its machine
  effect_step,   // the next part of the effect under way
  timer,         // runs out
  message,       // arrives over the control connection
  peer_gone,     // the control connection is found broken
  query,         // arrives at the destination's supervisor, over a connection of its own
  answer,        // to a query, arrives back
  forget,        // arrives like a query
  pages_placed,  // the last page is where it belongs
  worker_exit,   // of a worker that has finished
  worker_start,  // to recover a session
  supervisor_back,
  node_back,
  operator_gives_up,  // says to the source that the destination is dead, until it is heard
};

// What is going to happen. `number` says whether it still means something when its time has come.
struct Item {
  Time at = 0;
  uint64_t order = 0;  // ties
  ItemKind kind = ItemKind::event;
  Side side = Side::source;
  uint8_t code = 0;         // the event, or the message
  uint32_t epoch = 0;       // of a message; of an answer the boot id
  uint32_t number = 0;      // effect, timer, message or query; 0: a message out of order
  uint32_t generation = 0;  // of the worker that it is for
};

// A worker process, and what dies with it.
struct Worker {
  bool alive = false;
  uint32_t generation = 0;
  Time inbox_until = 0;         // its inbox is read in order
  uint32_t timer_number = 0;    // of the newest timer
  uint32_t ordered_number = 0;  // of the newest effect
  uint32_t effect_number = 0;   // of the one under way
  uint8_t effect_kind = 0;      // likewise
  uint8_t effect_done = 0;      // its steps that are done
  bool effect_busy = false;     // one is under way
  bool effect_waiting = false;  // the newest has yet to begin
  uint8_t waiting_kind = 0;
  bool has_connection = false;  // its end of the control connection is open
  bool had_connection = false;
  bool forget_heard = false;
};

// The control connection, both directions in order but for the messages that a schedule lets stray. What is beyond
// `cut` never arrives.
struct Connection {
  struct Direction {
    uint32_t sent = 0;
    uint32_t arrived = 0;
    uint32_t cut = UINT32_MAX;
    Time last_arrival = 0;
    Time held_until = 0;  // by a partition, all that follows included
  };
  std::array<Direction, 2> towards{};  // by the receiving side
};

// Used once: make it, run() it.
class Schedule {
 public:
  Schedule(const SimulatorOptions& options, uint64_t seed, Coverage& coverage, bool tracing);
  ScheduleResult run();

 private:
  // simulator_schedule.cpp
  void push(Item item, Time delay);
  void happen(const Item& item);
  void begin_action();
  void post_event(Side side, uint8_t event, uint32_t epoch = 0, uint32_t number = 0);
  void deliver_event(const Item& item);
  void step_source(const Item& item);
  void step_destination(const Item& item);
  void start_timer(Side side, Time limit);
  void start_worker(Side side);
  void start_recovery(Side side);
  void crash_worker(Side side);
  void exit_worker(const Item& item);
  void come_back(const Item& item);
  [[nodiscard]] bool unfinished(Side side) const;
  [[nodiscard]] bool stale(const Item& item) const;

  // simulator_effects.cpp
  void do_effect(const SourceEffect& effect);
  void do_effect(const DestinationEffect& effect, const Item& cause);
  void order_effect(Side side, uint8_t kind);
  void begin_effect(Side side, uint8_t kind);
  void end_effect(Side side);
  void continue_effect(const Item& item);
  void finish_effect(Side side, uint8_t event);
  void fail_effect(Side side);
  bool effect_fails(Side side);
  bool source_effect_step(SourceEffectKind kind, uint8_t done);
  bool destination_effect_step(DestinationEffectKind kind, uint8_t done);
  Time effect_time(Side side, uint8_t kind);
  void connect_and_prepare();

  // simulator_network.cpp
  void send(Side from, MessageKind message, uint32_t epoch);
  bool strays(Item message);
  void message_arrives(const Item& item);
  bool takes_its_turn(const Item& item);
  void deliver_message(const Item& item);
  void break_connection(Time notice_limit);
  void close_end(Side side);
  void notice_broken(Side side, Time within);
  void peer_is_gone(const Item& item);
  void post_peer_lost(Side side);
  bool accept_session();
  void send_query();
  void query_arrives(const Item& item);
  void answer(uint32_t query, MessageKind message);
  void answer_arrives(const Item& item);
  void send_forget();
  void forget_arrives();
  void source_says(MessageKind message, uint32_t epoch);
  void destination_says(MessageKind message);
  Time message_delay();
  [[nodiscard]] bool partitioned(Side towards) const;
  Time until_healed(Side towards);

  // simulator_faults.cpp
  struct PlannedFault {
    uint32_t at_action = 0;
    Fault fault = Fault::cancel;
  };
  void plan_faults();
  void plan_failure();
  void strike(Fault fault);
  void strike_agent(Side side, Fault fault);
  void strike_reboot(Side side, Fault fault);
  void strike_destination_death();
  void give_up_destination(const Item& item);
  void strike_partition();
  void happened(Fault fault, Time until);

  template <typename... Args>
  void note(fmt::format_string<Args...> format, Args&&... args) {
    if (!tracing_) return;
    trace_.push_back(fmt::format("{:>10.3f} ms  ", static_cast<double>(now_) / ms) +
                     fmt::format(format, std::forward<Args>(args)...));
  }
  Worker& worker(Side side) { return workers_[static_cast<size_t>(side)]; }
  [[nodiscard]] const Worker& worker(Side side) const { return workers_[static_cast<size_t>(side)]; }
  [[nodiscard]] static const char* name(Side side) { return side_names[static_cast<size_t>(side)]; }

  const SimulatorOptions& options_;
  Coverage& coverage_;
  Random random_;
  bool tracing_;
  std::vector<std::string> trace_;

  Time now_ = 0;
  uint64_t order_ = 0;
  std::vector<Item> queue_;  // a heap, the next one first
  uint32_t actions_ = 0;
  Time faults_until_ = 0;

  std::array<Worker, 2> workers_{};
  std::array<bool, 2> supervisor_up_{true, true};
  std::array<bool, 2> node_up_{true, true};
  SourceState source_state_;
  DestinationState destination_state_;
  World world_;
  Connection connection_;
  uint32_t queries_ = 0;
  std::array<Time, 2> partition_until_{};  // by direction: towards which side nothing gets through
  std::array<PlannedFault, 4> plan_{};
  size_t plan_size_ = 0;
  size_t plan_done_ = 0;
  uint32_t slow_percent_ = 0;
  uint32_t fail_percent_ = 0;
  uint32_t late_percent_ = 0;
  uint32_t stray_percent_ = 0;
  uint32_t disturbances_left_ = 0;  // slow, failed and late things, so that they end
  Side failing_side_ = Side::source;
  uint8_t failing_kind_ = 0;  // an effect that fails
  uint32_t failures_left_ = 0;
  bool drops_stale_results_ = false;
};

}  // namespace godwit::migration::simulation
