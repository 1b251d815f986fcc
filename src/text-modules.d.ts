/** Markdown files are imported as text (wrangler.toml `[[rules]]`, scripts/lib/bundle.ts, vitest.config.ts). */
declare module "*.md" {
  const text: string;
  export default text;
}
