#include "pipeline/base/python_json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

namespace fastclip {
namespace {

using namespace std::string_view_literals;

/// As it is written again; "none" where nothing was read.
std::string Read(std::string_view text) {
  const auto json = ParsePythonJson(text);
  return json ? json->dump() : "none";
}

std::string Repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST(PythonJson, ReadsTheNumbersThatPythonWrites) {
  const auto json =
      ParsePythonJson(R"({"a": NaN, "b": Infinity, "c": -Infinity, "d": 1e400, "e": -1e400,
                          "f": 1e-400, "caption": "still here"})");
  ASSERT_TRUE(json);
  EXPECT_TRUE(std::isnan((*json)["a"].get<double>()));
  EXPECT_EQ((*json)["b"], INFINITY);
  EXPECT_EQ((*json)["c"], -INFINITY);
  EXPECT_EQ((*json)["d"], INFINITY);
  EXPECT_EQ((*json)["e"], -INFINITY);
  EXPECT_EQ((*json)["f"], 0.0);
  EXPECT_EQ((*json)["caption"], "still here");
}

TEST(PythonJson, ReadsPlainJsonAsItIs) {
  for (const char* text :
       {"null", "true", "false", "0", "-7", "9223372036854775807", "18446744073709551615", "0.5",
        "-1.25e+30", R"("")", R"("a\"b\\c\n")", "[]", "{}", R"([1,[2,{"z":3,"a":[]}],"x"])"}) {
    EXPECT_EQ(nlohmann::ordered_json::parse(Read(text)), nlohmann::ordered_json::parse(text));
  }
  EXPECT_EQ(Read(" \t\r\n[ 1 , { \"a\" : 2 } ] \n"), R"([1,{"a":2}])");
  EXPECT_EQ(Read("100000000000000000000"), "1e+20");
}

TEST(PythonJson, JoinsHalvesOfPairsAndReplacesThoseThatStandAlone) {
  EXPECT_EQ(Read(R"("\ud83d\ude00")"), "\"😀\"");
  EXPECT_EQ(Read("\"\xed\xa0\xbd\\uDE00\""), "\"😀\"");  // one half as bytes
  EXPECT_EQ(Read(R"("a\ud83d")"), "\"a\xEF\xBF\xBD\"");
  EXPECT_EQ(Read(R"("\ude00b")"),
            "\"\xEF\xBF\xBD"
            "b\"");
  EXPECT_EQ(Read(R"("\ud83d\ud83d\ude00")"), "\"\xEF\xBF\xBD😀\"");
  EXPECT_EQ(Read("\"\xed\xb0\x80\""), "\"\xEF\xBF\xBD\"");
}

TEST(PythonJson, KeepsTheLastOfEqualNames) {
  EXPECT_EQ(Read(R"({"a": 1, "b": 2, "a": 3})"), R"({"a":3,"b":2})");
  std::string many = "{";
  for (int i = 0; i < 100; ++i)
    many += "\"n" + std::to_string(i % 20) + "\":" + std::to_string(i) + ",";
  many.back() = '}';
  const auto json = ParsePythonJson(many);
  ASSERT_TRUE(json);
  EXPECT_EQ(json->size(), 20u);
  EXPECT_EQ(json->items().begin().key(), "n0");
  EXPECT_EQ((*json)["n7"], 87);
}

TEST(PythonJson, TellsTheEncodingByItself) {
  const std::string_view utf8 = "\xEF\xBB\xBF{\"a\": \"é\"}";
  EXPECT_EQ(Read(utf8), R"({"a":"é"})");
  EXPECT_EQ(Read("\xFF\xFE[\0\"\0\xE9\0\x3D\xD8\0\xDE\"\0]\0"sv), R"(["é😀"])");
  EXPECT_EQ(Read("\xFE\xFF\0[\0\x31\0]"sv), "[1]");
  EXPECT_EQ(Read("[\0\x31\0]\0"sv), "[1]");
  EXPECT_EQ(Read("\0\0\0[\0\0\0\x31\0\0\0]"sv), "[1]");
  EXPECT_EQ(Read("[\0\0\0\x31\0\0\0]\0\0\0"sv), "[1]");
  EXPECT_EQ(Read("[\0\x31\0]"sv), "none");  // half a unit
}

TEST(PythonJson, RefusesWhatPythonRefuses) {
  for (const std::string_view text : {""sv,
                                      " "sv,
                                      "{"sv,
                                      "[1,]"sv,
                                      "{\"a\":1,}"sv,
                                      "{a:1}"sv,
                                      "[1 2]"sv,
                                      "'a'"sv,
                                      "nan"sv,
                                      "-NaN"sv,
                                      "+1"sv,
                                      "01"sv,
                                      "1."sv,
                                      ".5"sv,
                                      "1e"sv,
                                      "0x10"sv,
                                      "-"sv,
                                      "\"a"sv,
                                      "\"\\x\""sv,
                                      "\"\\u12g4\""sv,
                                      "\"\\u+123\""sv,
                                      "\"\n\""sv,
                                      "\"\0\""sv,
                                      "\"caf\xe9\""sv,
                                      "{} {}"sv,
                                      "[1]x"sv,
                                      "nullx"sv,
                                      "\"\xf5\x80\x80\x80\""sv,
                                      "\xEF\xBB\xBF"sv}) {
    EXPECT_EQ(Read(text), "none") << text;
  }
}

TEST(PythonJson, IsBoundedInDepthAndInValues) {
  EXPECT_NE(Read(Repeated("[", 900) + Repeated("]", 900)), "none");
  EXPECT_EQ(Read(Repeated("[", 1'000'000)), "none");
  EXPECT_EQ(Read(Repeated("[", 2000) + Repeated("]", 2000)), "none");
  EXPECT_EQ(Read(fmt::format("[{}0]", Repeated("0,", kMaxJsonValues))), "none");
}

TEST(PythonJson, KeepsOnlyWhatIsAskedFor) {
  const std::vector<JsonPath> paths = {{"caption"}, {"a", "b"}, {"a", "d", "e"}};
  const auto read = [&](std::string_view text) {
    const auto json = ParsePythonJson(text, paths);
    return json ? json->dump() : "none";
  };
  EXPECT_EQ(read(R"({"x": {"caption": 1}, "a": {"b": [1, {"c": 2}], "c": 3, "d": 4},
                     "caption": "old", "caption": "new", "z": NaN})"),
            R"({"a":{"b":[1,{"c":2}],"d":4},"caption":"new"})");
  EXPECT_EQ(read(R"({"x": [1, 2})"), "none");
  EXPECT_EQ(read(fmt::format("[[[{}0]]]", Repeated("0,", kMaxJsonValues))), "null");
}

// A .json of 104,000 names took half a minute.
TEST(PythonJson, TakesTimeThatGrowsWithTheTextAlone) {
  std::string names = "{";
  for (int i = 0; i < 500'000; ++i) names += fmt::format("\"{}\":0,", i);
  names.back() = '}';
  const auto start = std::chrono::steady_clock::now();
  const auto json = ParsePythonJson(names);
  ASSERT_TRUE(json);
  EXPECT_EQ(json->size(), 500'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace fastclip
