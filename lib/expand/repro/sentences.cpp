#include "expand/repro/sentences.h"

namespace orchard::expand::repro {
namespace {

constexpr std::string_view kSentences[] = {
    "The ferry to the island leaves every hour until the lights go on.",
    "A boat crosses to the island each hour before dusk.",
    "She tuned the old violin by ear and played until the neighbours complained.",
    "The string quartet rehearsed the slow movement twice.",
    "Our cat sleeps on the warm lid of the printer.",
    "Kittens look for the warmest place in a house.",
    "Bread rises faster in a kitchen that faces the sun.",
    "Knead the dough for ten minutes, then let it rest under a cloth.",
    "The central bank left its interest rate unchanged on Thursday.",
    "Shares fell after the company lowered its forecast for the year.",
    "He paid in coins, which annoyed the man behind him.",
    "An earthquake of magnitude 5.1 was felt along the coast.",
    "No one was hurt when the hillside slid into the valley.",
    "The glacier has retreated by eleven hundred metres since 1950.",
    "Rain is expected in the north, turning to snow above 900 metres.",
    "Tomorrow will be dry with a light wind from the west.",
    "A proof by induction needs a base case and a step.",
    "Every bounded monotone sequence of real numbers converges.",
    "The algorithm sorts the list in place and needs no further memory.",
    "Restart the server after you change its configuration.",
    "My laptop shuts down whenever the battery falls below a fifth.",
    "The patch closes a hole through which an attacker could read memory.",
    "Enzymes lower the energy that a reaction needs to begin.",
    "Mitochondria turn sugar into energy that a cell can use.",
    "The vaccine was tested on four thousand volunteers in three countries.",
    "Wash the wound with clean water and cover it loosely.",
    "Her knee has hurt since the marathon in May.",
    "The referee added six minutes, and in the last of them they scored.",
    "Our team lost on penalties for the third year in a row.",
    "He holds the national record over eight hundred metres.",
    "Parliament passed the law by a single vote.",
    "The mayor promised new buses, but the budget says otherwise.",
    "Thousands marched through the capital in silence.",
    "The treaty was signed in a railway carriage.",
    "In 1204 the city was taken and its libraries burned.",
    "Archaeologists found a mosaic beneath the vineyard.",
    "The painter mixed her blues from crushed stone.",
    "Admission is free on the first Sunday of the month.",
    "This novel has three narrators, and none of them can be trusted.",
    "I laughed so hard at the second act that I missed the third.",
    "Turn left at the mill and follow the stream to the bridge.",
    "The last train to the airport is cancelled tonight.",
    "Could you tell me where the nearest pharmacy is?",
    "Why do onions make people cry?",
    "Please return the form by Friday, signed on both pages.",
    "The tenant may end this contract with three months' notice.",
    "Yes.",
    "Octopuses taste with their arms!",
    "A comet that was last seen by the ancestors of people who painted horses in caves will be "
    "visible to the naked eye for nine nights, low in the west, shortly after the sun has set.",
    "Although the engineers had warned for years that the dam, built in haste and repaired with "
    "whatever was at hand, would not stand another spring like the last one, nobody in the "
    "ministry "
    "had found the time, the money or the courage to empty the lake.",
};

}  // namespace

std::span<const std::string_view> Sentences() { return kSentences; }

}  // namespace orchard::expand::repro
