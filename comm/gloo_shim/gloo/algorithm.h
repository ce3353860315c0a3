#pragma once
// The torch wheel exports ProcessGroupGloo, but not the Gloo headers that its own header includes.
// These five declare what that header names, for the one file that includes it; nothing of Gloo is
// called from here, and no object of these types is made.
