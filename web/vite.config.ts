import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Where `npm run dev` finds a server: `laterna serve` on its usual port, or the one that is named here.
const server = process.env.LATERNA_URL ?? "http://localhost:8000";

export default defineConfig({
  base: "./", // the page may be served below a prefix; the server writes it into <base>
  plugins: [react()],
  build: {
    outDir: "../src/laterna/api/site",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    target: "es2023",
    license: { fileName: "assets/licences.md" },
  },
  server: { proxy: { "^/(api|queue|cdn|platform|openai|health|ready)/": { target: server, ws: true } } },
});
