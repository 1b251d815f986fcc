/** Slack's names of the emojis that agents react with: its API takes no glyphs (chat-platforms §1.4). */

const TABLE = `👍 +1|👎 -1|👀 eyes|✅ white_check_mark|☑ ballot_box_with_check|✔ heavy_check_mark|❌ x|❎ negative_squared_cross_mark
❗ exclamation|❓ question|⁉ interrobang|‼ bangbang|⚠ warning|🚨 rotating_light|🚧 construction|⛔ no_entry|🚫 no_entry_sign|🛑 octagonal_sign
⏳ hourglass_flowing_sand|⌛ hourglass|⏰ alarm_clock|⏱ stopwatch|🕐 clock1|🔄 arrows_counterclockwise|🔁 repeat|▶ arrow_forward|⏸ double_vertical_bar|⏹ black_square_for_stop
❤ heart|🧡 orange_heart|💛 yellow_heart|💚 green_heart|💙 blue_heart|💜 purple_heart|🖤 black_heart|💔 broken_heart|❤‍🔥 heart_on_fire|💯 100
🎉 tada|🎊 confetti_ball|🎁 gift|🏆 trophy|🥇 first_place_medal|⭐ star|🌟 star2|✨ sparkles|🔥 fire|💥 boom
⚡ zap|☀ sunny|🌈 rainbow|☁ cloud|❄ snowflake|🌊 ocean|🌱 seedling|🌹 rose|🍕 pizza|☕ coffee
🍺 beer|🍾 champagne|🎂 birthday|🍎 apple|🍌 banana|🍓 strawberry|🌭 hotdog|🍿 popcorn|🚀 rocket|✈ airplane
🚗 car|🚢 ship|🏠 house|💻 computer|📱 iphone|⌨ keyboard|🖥 desktop_computer|🔋 battery|🔌 electric_plug|💡 bulb
🔧 wrench|🔨 hammer|🛠 hammer_and_wrench|⚙ gear|🔩 nut_and_bolt|🧰 toolbox|🧪 test_tube|🔬 microscope|🔭 telescope|🧠 brain
📝 memo|✏ pencil2|📌 pushpin|📎 paperclip|🔗 link|📁 file_folder|📂 open_file_folder|📄 page_facing_up|📊 bar_chart|📈 chart_with_upwards_trend
📉 chart_with_downwards_trend|📅 date|📆 calendar|📧 e-mail|✉ email|📨 incoming_envelope|📤 outbox_tray|📥 inbox_tray|📦 package|🗑 wastebasket
🔒 lock|🔓 unlock|🔑 key|🛡 shield|🔍 mag|🔎 mag_right|🔔 bell|🔕 no_bell|📣 mega|📢 loudspeaker
💬 speech_balloon|💭 thought_balloon|🗨 left_speech_bubble|👋 wave|🙏 pray|👏 clap|🙌 raised_hands|👌 ok_hand|🤝 handshake|💪 muscle
✌ v|🤞 crossed_fingers|🤘 the_horns|👊 facepunch|✊ fist|👆 point_up_2|👇 point_down|👈 point_left|👉 point_right|☝ point_up
✋ hand|🫡 saluting_face|🫶 heart_hands|😀 grinning|😃 smiley|😄 smile|😁 grin|😆 laughing|😅 sweat_smile|🤣 rolling_on_the_floor_laughing
😂 joy|🙂 slightly_smiling_face|😉 wink|😊 blush|😇 innocent|🥰 smiling_face_with_3_hearts|😍 heart_eyes|🤩 star-struck|😘 kissing_heart|😋 yum
😎 sunglasses|🤓 nerd_face|🧐 face_with_monocle|🤔 thinking_face|🤨 face_with_raised_eyebrow|😐 neutral_face|😑 expressionless|🙄 face_with_rolling_eyes|😏 smirk|😴 sleeping
😮 open_mouth|😱 scream|😨 fearful|😢 cry|😭 sob|😡 rage|😠 angry|🤬 face_with_symbols_on_mouth|🤯 exploding_head|🥳 partying_face
🤗 hugging_face|🤮 face_vomiting|🤡 clown_face|💩 hankey|👻 ghost|💀 skull|👽 alien|🤖 robot_face|🎃 jack_o_lantern|🙈 see_no_evil
🙉 hear_no_evil|🙊 speak_no_evil|🐛 bug|🐳 whale|🦄 unicorn_face|🐱 cat|🐶 dog|🕊 dove_of_peace|🦉 owl|🤷 shrug
🤦 face_palm|👨‍💻 male-technologist|👩‍💻 female-technologist|🎄 christmas_tree|🎅 santa|⛄ snowman_without_snow|🗿 moyai|🆗 ok|🆒 cool|🆕 new
➕ heavy_plus_sign|➖ heavy_minus_sign|⬆ arrow_up|⬇ arrow_down|⬅ arrow_left|➡ arrow_right|🔴 red_circle|🟠 large_orange_circle|🟡 large_yellow_circle|🟢 large_green_circle
🔵 large_blue_circle|⚪ white_circle|⚫ black_circle|0⃣ zero|1⃣ one|2⃣ two|3⃣ three|4⃣ four|5⃣ five|6⃣ six|7⃣ seven|8⃣ eight|9⃣ nine|🔟 keycap_ten|🍀 four_leaf_clover|🎯 dart|🎵 musical_note|📸 camera_with_flash|🌍 earth_africa|🌎 earth_americas|🌏 earth_asia`;

let names: Map<string, string> | null = null;

const SELECTOR = /\uFE0F/g;
const TONE = /[\u{1F3FB}-\u{1F3FF}]/gu;
const TONES = ["🏻", "🏼", "🏽", "🏾", "🏿"];

/** Slack's name of a glyph, or of a name as people type it (`:eyes:`); null: none is known. */
export function slackEmoji(emoji: string): string | null {
  const named = /^:?([a-z0-9_+'-]{1,100}(?:::skin-tone-[2-6])?):?$/.exec(emoji.trim());
  if (named) return named[1]!;
  names ??= new Map(
    TABLE.split(/[|\n]/).map((row) => [row.slice(0, row.indexOf(" ")), row.slice(row.indexOf(" ") + 1)]),
  );
  const glyph = emoji.trim().replace(SELECTOR, "");
  const tone = TONES.findIndex((t) => glyph.includes(t));
  const name = names.get(glyph) ?? names.get(glyph.replace(TONE, ""));
  return name === undefined ? null : tone < 0 ? name : `${name}::skin-tone-${tone + 2}`;
}
