#include "io/text/post_processor.h"

#include <algorithm>

#include "base/error.h"
#include "io/text/model.h"

namespace orchard::text {

PostProcessor::PostProcessor() {
  templates_[0] = {{0, {}, 0}};
  templates_[1] = {{0, {}, 0}, {1, {}, 1}};
  plain_ = templates_;
}

PostProcessor PostProcessor::Bert(int32_t cls, int32_t sep) {
  PostProcessor p;
  p.templates_[0] = {{-1, {cls}, 0}, {0, {}, 0}, {-1, {sep}, 0}};
  p.templates_[1] = {{-1, {cls}, 0}, {0, {}, 0}, {-1, {sep}, 0}, {1, {}, 1}, {-1, {sep}, 1}};
  p.decorates_ = true;
  return p;
}

PostProcessor PostProcessor::Roberta(int32_t cls, int32_t sep) {
  PostProcessor p;
  p.templates_[0] = {{-1, {cls}, 0}, {0, {}, 0}, {-1, {sep}, 0}};
  p.templates_[1] = {{-1, {cls}, 0}, {0, {}, 0}, {-1, {sep, sep}, 0}, {1, {}, 0}, {-1, {sep}, 0}};
  p.plain_[1] = {{0, {}, 0}, {1, {}, 0}};
  p.decorates_ = true;
  return p;
}

PostProcessor::Template PostProcessor::ReadTemplate(const JsonField& list,
                                                    const JsonField& specials) {
  Template out;
  for (size_t i = 0; i < list.ArraySize(); ++i) {
    const JsonField item = list.Item(i);
    if (item.Has("Sequence")) {
      const JsonField sequence = item.At("Sequence");
      const std::string id = sequence.At("id").String();
      if (id != "A" && id != "B") sequence.Fail("the id of a sequence must be A or B");
      out.push_back(
          {id == "B", {}, static_cast<int32_t>(sequence.Integer("type_id", 0, 1 << 20, 0))});
      continue;
    }
    const JsonField token = item.At("SpecialToken");
    const JsonField ids = specials.At(token.At("id").String().c_str()).At("ids");
    Item special{-1, {}, static_cast<int32_t>(token.Integer("type_id", 0, 1 << 20, 0))};
    for (size_t k = 0; k < ids.ArraySize(); ++k) {
      special.ids.push_back(static_cast<int32_t>(ids.Item(k).Integer(0, kMaxTokenId)));
    }
    out.push_back(std::move(special));
  }
  return out;
}

PostProcessor PostProcessor::Make(const JsonField& field, int depth) {
  if (depth > kMaxNesting) field.Fail("post-processors are nested too deeply");
  const std::string type = field.Type();
  if (type == "ByteLevel") return PostProcessor();
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    const auto id = [&](const char* key) {
      return static_cast<int32_t>(field.At(key).Item(1).Integer(0, kMaxTokenId));
    };
    return type == "BertProcessing" ? Bert(id("cls"), id("sep")) : Roberta(id("cls"), id("sep"));
  }
  if (type == "TemplateProcessing") {
    PostProcessor p;
    const JsonField specials = field.At("special_tokens");
    p.templates_[0] = ReadTemplate(field.At("single"), specials);
    p.templates_[1] = ReadTemplate(field.At("pair"), specials);
    for (int pair = 0; pair < 2; ++pair) {
      p.plain_[pair] = p.templates_[pair];
      std::erase_if(p.plain_[pair], [](const Item& item) { return item.text < 0; });
    }
    p.decorates_ = true;
    return p;
  }
  if (type == "Sequence") {
    PostProcessor result;
    const JsonField list = field.At("processors");
    for (size_t i = 0; i < list.ArraySize(); ++i) {
      PostProcessor next = Make(list.Item(i), depth + 1);
      if (!next.decorates_) continue;
      if (result.decorates_) {
        throw ImpossibleError("two post-processors that add tokens are not supported",
                              list.Item(i).where());
      }
      result = std::move(next);
    }
    return result;
  }
  throw ImpossibleError("post-processor \"" + type + "\" is not supported", field.where());
}

size_t PostProcessor::added(bool pair) const {
  size_t count = 0;
  for (const Item& item : templates_[pair]) count += item.ids.size();
  return count;
}

int32_t PostProcessor::max_id() const {
  int32_t largest = -1;
  for (const Template& items : templates_) {
    for (const Item& item : items) {
      for (const int32_t id : item.ids) largest = std::max(largest, id);
    }
  }
  return largest;
}

Encoding PostProcessor::Apply(std::span<const int32_t> first, std::span<const int32_t> second,
                              bool pair, bool add_special_tokens) const {
  Encoding out;
  for (const Item& item : (add_special_tokens ? templates_ : plain_)[pair]) {
    if (item.text < 0) {
      for (const int32_t id : item.ids) out.Append(id, item.type_id, true);
    } else {
      for (const int32_t id : item.text == 0 ? first : second) out.Append(id, item.type_id, false);
    }
  }
  return out;
}

}  // namespace orchard::text
