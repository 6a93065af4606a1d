#include "controller/address_ledger.h"

#include <gmock/gmock.h>

namespace godwit::controller {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct AddressLedgerTest : testing::Test {
  std::vector<std::string> due() {
    return ledger.due("home", nodes, [&](const std::string& address) { return pods.contains(address); });
  }
  void home_tells() {
    ledger.report("home", {.kept = {{"s1", {"10.0.1.5", "fd00::5"}}}, .guests = {}}, ledger.begin());
  }
  void other_tells(const std::vector<std::string>& addresses) {
    std::vector<agent::GuestAddressInfo> guests;
    for (const std::string& address : addresses) guests.push_back({address, true, "here"});
    tells("other", std::move(guests));
  }
  void tells(const std::string& node, std::vector<agent::GuestAddressInfo> guests,
             std::vector<agent::AddressesRequest::Route> routes = {}) {
    ledger.report(node, {.kept = {}, .guests = std::move(guests), .routes = std::move(routes)}, ledger.begin());
  }
  AddressLedger::RouteOrders routes_for(const std::string& node) {
    return ledger.routes_for(node, {{"n1", {"10.1.0.1", "fd01::1"}}, {"n2", {"10.1.0.2"}}, {"n3", {"10.1.0.3"}}},
                             [&](const std::string& address) { return pods.contains(address); });
  }

  AddressLedger ledger;
  std::set<std::string> nodes{"home", "other"};
  std::set<std::string> pods;
};

TEST_F(AddressLedgerTest, AnAddressIsGivenBackWhenNobodyHasIt) {
  pods = {"fd00::5"};
  home_tells();
  other_tells({"10.0.1.5"});
  EXPECT_THAT(due(), IsEmpty()) << "a pod has one of them";
  pods.clear();
  EXPECT_THAT(due(), IsEmpty()) << "the pod's network is still there";
  other_tells({});
  EXPECT_THAT(due(), IsEmpty()) << "what was told before it was found to be free does not count";
  home_tells();
  other_tells({});
  EXPECT_THAT(due(), ElementsAre("s1"));
}

TEST_F(AddressLedgerTest, AnAnswerToAQuestionOfBeforeDoesNotCount) {
  const uint64_t early = ledger.begin();
  home_tells();
  EXPECT_THAT(due(), IsEmpty());
  home_tells();
  ledger.report("other", {}, early);
  EXPECT_THAT(due(), IsEmpty());
  other_tells({});
  EXPECT_THAT(due(), ElementsAre("s1"));
}

TEST_F(AddressLedgerTest, ANodeThatHasNotToldMayHaveIt) {
  home_tells();
  EXPECT_THAT(due(), IsEmpty());
  home_tells();
  EXPECT_THAT(due(), IsEmpty()) << "the other node has told nothing";
  nodes.erase("other");
  EXPECT_THAT(due(), ElementsAre("s1")) << "that node is dead";
}

TEST_F(AddressLedgerTest, AnAddressThatIsClaimedAgainBeginsAnew) {
  home_tells();
  other_tells({});
  EXPECT_THAT(due(), IsEmpty());
  pods = {"10.0.1.5"};
  home_tells();
  other_tells({});
  EXPECT_THAT(due(), IsEmpty());
  pods.clear();
  EXPECT_THAT(due(), IsEmpty());
  home_tells();
  other_tells({});
  EXPECT_THAT(due(), ElementsAre("s1"));
  ledger.report("home", {}, ledger.begin());
  EXPECT_THAT(due(), IsEmpty()) << "it has been given back";
}

TEST_F(AddressLedgerTest, AForgottenNodeKeepsNothing) {
  home_tells();
  ledger.forget("home");
  EXPECT_THAT(due(), IsEmpty());
}

using Route = agent::AddressesRequest::Route;

TEST_F(AddressLedgerTest, EveryOtherNodeHasARouteToAGuest) {
  tells("n1", {{"10.0.3.5", true, "here"}, {"fd03::5", true, "here"}, {"10.0.3.6", false, "here"}});
  tells("n2", {}, {{"10.0.3.5", "10.1.0.3"}, {"fd03::5", "fd01::1"}});
  tells("n3", {});
  EXPECT_THAT(routes_for("n2").set, ElementsAre(Route{"10.0.3.5", "10.1.0.1"}));
  EXPECT_THAT(routes_for("n3").set, ElementsAre(Route{"10.0.3.5", "10.1.0.1"}, Route{"fd03::5", "fd01::1"}));
  EXPECT_THAT(routes_for("n1").set, IsEmpty()) << "it lives there";
  EXPECT_THAT(routes_for("n4").set, IsEmpty()) << "a node that has told nothing";
}

TEST_F(AddressLedgerTest, AnAddressThatChangesNodesIsWhereItLeavesUntilItHasArrived) {
  tells("n1", {{"10.0.3.5", true, "leaving"}});
  tells("n2", {{"10.0.3.5", true, "arriving"}});
  tells("n3", {});
  EXPECT_THAT(routes_for("n3").set, ElementsAre(Route{"10.0.3.5", "10.1.0.1"}));
  tells("n2", {{"10.0.3.5", true, "here"}});
  EXPECT_THAT(routes_for("n3").set, ElementsAre(Route{"10.0.3.5", "10.1.0.2"}));
  tells("n1", {});
  EXPECT_THAT(routes_for("n1").set, ElementsAre(Route{"10.0.3.5", "10.1.0.2"}));
}

TEST_F(AddressLedgerTest, ARouteIsTakenAwayWhenNobodyHasTheAddress) {
  tells("n3", {}, {{"10.0.1.5", "10.1.0.2"}});
  pods = {"10.0.1.5"};
  EXPECT_THAT(routes_for("n3").drop, IsEmpty()) << "the node where it lives may be silent";
  pods.clear();
  EXPECT_THAT(routes_for("n3").drop, ElementsAre("10.0.1.5"));
  tells("n2", {{"10.0.1.5", true, "here"}});
  EXPECT_THAT(routes_for("n3").drop, IsEmpty());
}

TEST_F(AddressLedgerTest, ItSaysWhetherGuestsCameOrWent) {
  EXPECT_FALSE(ledger.report("n1", {}, ledger.begin()));
  const agent::AddressesEvent told{.kept = {}, .guests = {{"10.0.3.5", true, "here"}}, .routes = {}};
  EXPECT_TRUE(ledger.report("n1", told, ledger.begin()));
  EXPECT_FALSE(ledger.report("n1", told, ledger.begin()));
  EXPECT_TRUE(ledger.report("n1", {}, ledger.begin()));
}

}  // namespace
}  // namespace godwit::controller
