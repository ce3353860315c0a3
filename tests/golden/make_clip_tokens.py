"""Writes clip_tokens.json: 100 captions of many kinds, and the ids that OpenCLIP's tokenizer gives them. None of them
needs ftfy's mojibake repair, which is left out here (tokenizer/README.md).

Needs open_clip_torch 3.3.0 (build/venv has it) with ftfy, regex, numpy and transformers:
  python tests/golden/make_clip_tokens.py
"""

import json
import pathlib

import open_clip

CAPTIONS = """a photo of a cat
A PHOTO OF A CAT
two dogs, one ball; no cat!
  leading and   inner    blanks  
it's, they're, I've, we'll, you'd, I'm, don't
O'Reilly's can't-miss “smart quotes” – and dashes — here…
3 apples & 27 pears, 1,000,000 stars, 3.14159
100% cotton T-shirt @ $19.99 (50% off!!!)
http://example.com/a?b=c&d=e#f
user@example.org #hashtag @mention
C++ code: x += y * (z - 1);
e=mc^2, H2O, CO2
&lt;b&gt;bold&lt;/b&gt; &amp;amp; twice escaped
&quot;quoted&quot; &#39;single&#39; &nbsp; blank
<start_of_text> is a word here <end_of_text>
naïve café façade über Ångström
résumé, coöperate, piñata, jalapeño
Ünïcödé Ärgër
ИЛЛЮСТРАЦИЯ: красный кот на окне
η γάτα κάθεται στο χαλί
الفيل في الغرفة
חתול על המחצלת
कमरे में हाथी
ห้องนั่งเล่นสวยงาม
猫がマットの上に座っている
一只猫坐在垫子上
고양이가 매트 위에 앉아 있다
Mèo ngồi trên thảm
🐱 cat emoji 😀😀 👩‍👩‍👧 family 🏳️‍🌈
café with a combining accent
ﬁ ligature, ½ fraction, x² squared, Ⅳ roman
full-width：ＡＢＣ１２３
zero​width and soft­hyphen
eine schöne Brücke über den Fluß
a\tb\tc
line one\\nline two
tab	and newline as one blank
"double" 'single' `back`
[brackets] {braces} (parens) <angles>
under_score and CamelCase and kebab-case
ALLCAPSWORDSTUCKTOGETHER
supercalifragilisticexpialidocious antidisestablishmentarianism
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
!!!???...,,,;;;:::
- - - -- --- ----
1234567890 0987654321 00000
12th 21st 3rd 4x4 1080p 4K 60fps
$5 €6 £7 ¥8 ₹9 ₿1
50° North, 5′ 10″, 30 µm
± × ÷ ≠ ≤ ≥ ∞ √ ∑ ∫
← ↑ → ↓ ⇒ ★ ☆ ♥ ♠ ♪
§ ¶ © ® ™ †
IMG_2034.JPG
DSC00123.jpg (1024x768)
Stock Photo - woman smiling at camera
Royalty-free vector illustration of a house
SALE! Vintage 1960's lamp, brass/teak – rare
a red car parked in front of a building in new york city at night
close-up of a bee on a yellow flower in the garden
the quick brown fox jumps over the lazy dog
The Quick Brown Fox Jumps Over The Lazy Dog.
oil on canvas, 1889, museum of modern art
black and white portrait of an old man with a beard
aerial view of a city skyline at sunset
three people riding bicycles on a dirt road
a bowl of soup with noodles and vegetables
baby elephant walking beside its mother
satellite image of a hurricane over the ocean
logo design for a coffee shop
a sign that says "STOP" in the rain
snow covered mountains under a blue sky
kitchen interior with white cabinets and marble countertop
football player kicking a ball during a match
macro photograph of water drops on a leaf
x
.
ß
ŉ ǅ ı İ
ΑΣ ΟΔΟΣ ΣΑΣ
ﷺ
👍🏽 thumbs up with a tone
é versus é
l'été à l'hôtel
straße STRASSE
Nº 5, 1ª vez
'tis the season, rock 'n' roll
'S 'T 'RE 'VE 'M 'LL 'D
don’t won’t it’s
w/o w/ c/o a/c
A.B.C. U.S.A. e.g. i.e. etc.
p.m. 10:30pm 2024-02-29 29/02/2024
<script>alert("x")</script>
&notanentity; &#x1F600; &#99999999;
a photo of many things: apples, bananas, cherries, dates, elderberries, figs, grapes, honeydew, kiwis, lemons, mangos, nectarines, oranges, papayas, quinces, raspberries, strawberries, tangerines, and watermelons on a very long table beside the window of an old farm house in the hills
word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word
猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫
mixed 猫 and кот and 🐈 and cat
trailing blanks   
ＦＵＬＬ　ＷＩＤＴＨ　ＢＬＡＮＫ
the end""".split("\n")

assert len(CAPTIONS) == 100, len(CAPTIONS)
tokens = open_clip.get_tokenizer("ViT-B-32")(CAPTIONS)
cases = []
for text, row in zip(CAPTIONS, tokens.tolist()):
    while len(row) > 2 and row[-1] == 0:
        row.pop()
    cases.append({"text": text, "ids": row})
lines = ",\n".join(json.dumps(case) for case in cases)
pathlib.Path(__file__).with_name("clip_tokens.json").write_text(f'{{"cases": [\n{lines}\n]}}\n')
print(len(cases), "captions")
