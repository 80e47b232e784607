// Tells that the pull request has changed since the page was made. The page works without it.
const news = document.getElementById("news");
const [, repository, number] = location.pathname.match(/^(\/[^/]+\/[^/]+)\/pull\/(\d+)/) || [];
if (news && number) {
  const look = async () => {
    try {
      const answer = await fetch(`${repository}/pull/${number}/version`);
      if (answer.ok && (await answer.text()) !== news.dataset.version) {
        news.hidden = false;
        return;
      }
    } catch { /* the demo has ended, or is busy */ }
    setTimeout(look, 2000);
  };
  setTimeout(look, 2000);
}
