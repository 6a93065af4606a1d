#include <gtest/gtest.h>

#include <set>
#include <string_view>

#include "migration/simulator_coverage.h"

namespace godwit::migration {
namespace {

template <typename Enum, typename Name>
void expect_distinct(size_t count, const Name& name) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < count; ++i) names.insert(name(static_cast<Enum>(i)));
  EXPECT_EQ(names.size(), count);
  EXPECT_FALSE(names.contains(""));
}

TEST(Names, AreFoundAgainOnTheWire) {
  constexpr size_t messages = static_cast<size_t>(MessageKind::forget) + 1;
  expect_distinct<MessageKind>(messages, message_name);
  for (size_t i = 0; i < messages; ++i) {
    const auto kind = static_cast<MessageKind>(i);
    EXPECT_EQ(message_by_name(message_name(kind)), kind) << message_name(kind);
  }
  EXPECT_EQ(message_name(MessageKind::take_address), "take_address");
  EXPECT_EQ(message_name(MessageKind::forget), "forget");
  EXPECT_EQ(message_by_name("give_it_back"), std::nullopt);
}

TEST(Names, TellPhasesAndEventsApart) {
  expect_distinct<SourcePhase>(simulation::source_phases, [](SourcePhase phase) { return phase_name(phase); });
  expect_distinct<DestinationPhase>(simulation::destination_phases,
                                    [](DestinationPhase phase) { return phase_name(phase); });
  expect_distinct<SourceEventKind>(simulation::source_events, [](SourceEventKind kind) { return event_name(kind); });
  expect_distinct<DestinationEventKind>(simulation::destination_events,
                                        [](DestinationEventKind kind) { return event_name(kind); });
  EXPECT_EQ(event_name(SourceEventKind::restarted_given_away), "restarted_given_away");
  EXPECT_EQ(phase_name(SourcePhase::given_away), "given away");
}

}  // namespace
}  // namespace godwit::migration
