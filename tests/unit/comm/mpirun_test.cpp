#include "comm/mpirun.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "comm/link_network.h"

namespace orchard::comm {
namespace {

using testing::Contains;
using testing::Not;

// The word after `flag`.
std::string ValueOf(const std::vector<std::string>& words, const std::string& flag) {
  const auto found = std::find(words.begin(), words.end(), flag);
  return found == words.end() || found + 1 == words.end() ? "" : *(found + 1);
}

TEST(ParseLinkRate, KnowsTheUnitsOfTc) {
  EXPECT_EQ(ParseLinkRate("100mbit", "--netns"), 1e8);
  EXPECT_EQ(ParseLinkRate("2.5gbit", "--netns"), 2.5e9);
  EXPECT_EQ(ParseLinkRate("64kbit", "--netns"), 64e3);
  EXPECT_EQ(ParseLinkRate("5000", "--netns"), 5000);
  EXPECT_EQ(ParseLinkRate("unlimited", "--netns"), 0);
}

TEST(ParseLinkRate, RefusesWhatIsNoRate) {
  for (const char* text : {"", "fast", "mbit", "-5mbit", "100mbps", "nan", "inf", "10", "1e300"}) {
    EXPECT_THROW(ParseLinkRate(text, "--netns"), UsageError) << text;
  }
}

TEST(InterfaceCounters, AddsAllInterfacesButTheLoopback) {
  const LinkBytes bytes = ParseInterfaceCounters(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n"
      "    lo:  777       7    0    0    0     0          0         0      777       7    0\n"
      "    e0: 1000      10    0    0    0     0          0         0     2500      20    0\n"
      "   e1:5 1 0 0 0 0 0 0 6 1 0\n");
  EXPECT_EQ(bytes.received, 1005);
  EXPECT_EQ(bytes.sent, 2506);
}

TEST(InterfaceCounters, OfThisProcessCanBeRead) {
  EXPECT_EQ(ParseInterfaceCounters("").sent, 0);
  EXPECT_EQ(ParseInterfaceCounters("nonsense: a b c\n").sent, 0);
}

TEST(Mpirun, BindsRanksWhereThereAreCpusForAll) {
  const auto bound = SharedMemoryArguments(2, 3, 6);
  EXPECT_EQ(ValueOf(bound, "-n"), "2");
  EXPECT_EQ(ValueOf(bound, "--map-by"), "slot:PE=3");
  EXPECT_EQ(ValueOf(bound, "--bind-to"), "hwthread");
  const auto crowded = SharedMemoryArguments(4, 2, 6);
  EXPECT_EQ(ValueOf(crowded, "--bind-to"), "none");
  EXPECT_THAT(crowded, Contains("--oversubscribe"));
  EXPECT_THAT(bound, Not(Contains("--oversubscribe")));
}

TEST(Mpirun, KeepsToTheGivenNetworkOverLinks) {
  const auto words = LinkArguments(2, "10.1.2.0/24", {"10.1.2.1", "10.1.2.2"}, "/agent");
  EXPECT_EQ(ValueOf(words, "--host"), "10.1.2.1:1,10.1.2.2:1");
  EXPECT_EQ(ValueOf(words, "plm_rsh_agent"), "/agent");
  EXPECT_EQ(ValueOf(words, "btl_tcp_if_include"), "10.1.2.0/24");
  EXPECT_EQ(ValueOf(words, "btl"), "tcp,self");
  EXPECT_EQ(ValueOf(words, "--bind-to"), "none");
}

TEST(Mpirun, SharesCpusEvenlyAndGivesEveryRankOne) {
  EXPECT_EQ(ThreadsPerRank(16, 4), 4);
  EXPECT_EQ(ThreadsPerRank(7, 2), 3);
  EXPECT_EQ(ThreadsPerRank(2, 8), 1);
}

TEST(CommandAfterMark, IsTakenAsTyped) {
  EXPECT_EQ(CommandAfterMark({"launch", "-n", "2", "--", "sweep", "--ratios", "16,64", "--", "x"}),
            (std::vector<std::string>{"sweep", "--ratios", "16,64", "--", "x"}));
  EXPECT_THROW(CommandAfterMark({"launch", "train"}), UsageError);
  EXPECT_THROW(CommandAfterMark({"launch", "--"}), UsageError);
}

}  // namespace
}  // namespace orchard::comm
