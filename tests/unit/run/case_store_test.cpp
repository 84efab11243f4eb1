// Results of single cases: kept, found again, and never mistaken for others.
#include "run/case_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace orchard::run {
namespace {

class CaseStoreTest : public testing::Test {
 protected:
  CaseStoreTest()
      : path_(testing::TempDir() + "/cases_" +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(path_);
  }
  ~CaseStoreTest() override { std::filesystem::remove_all(path_); }
  std::filesystem::path path_;
};

}  // namespace

TEST_F(CaseStoreTest, FindsWhatItSavedToTheLastBit) {
  const Numbers numbers = {{"third", 1.0 / 3}, {"large", 9007199254740991.0}, {"small", 5e-324}};
  CaseStore(path_, "key").Save("E1/m-SCT 0.1, coplace", numbers);
  EXPECT_EQ(CaseStore(path_, "key").Find("E1/m-SCT 0.1, coplace"), numbers);
}

TEST_F(CaseStoreTest, KeepsNamesApartThatLookAlikeAsFiles) {
  const CaseStore store(path_, "key");
  store.Save("a/b", {{"x", 1}});
  store.Save("a-b", {{"x", 2}});
  EXPECT_EQ(store.Find("a/b")->at("x"), 1);
  EXPECT_EQ(store.Find("a-b")->at("x"), 2);
  EXPECT_EQ(store.Find("a b"), std::nullopt);
}

TEST_F(CaseStoreTest, RefusesResultsOfAnotherConfiguration) {
  CaseStore(path_, "seed = 1").Save("case", {{"x", 1}});
  EXPECT_THROW(CaseStore(path_, "seed = 2").Find("case"), UsageError);
}

TEST_F(CaseStoreTest, RefusesDamagedFiles) {
  const CaseStore store(path_, "key");
  store.Save("case", {{"x", 1}});
  const std::filesystem::path file = std::filesystem::directory_iterator(path_)->path();
  for (const char* text : {"", "{}", "[]", "{\"case\": \"case\", \"key\": 3}"}) {
    std::ofstream(file) << text;
    EXPECT_THROW(store.Find("case"), DataError) << text;
  }
}

TEST_F(CaseStoreTest, WithoutAFolderKeepsNothing) {
  const CaseStore store;
  store.Save("case", {{"x", 1}});
  EXPECT_EQ(store.Find("case"), std::nullopt);
}

}  // namespace orchard::run
