"""`bundle run -- mvn test`, with the real Maven, where it has what it needs without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import place

OFFLINE = Path("/usr/share/maven-repo")
HERE = (
    shutil.which("mvn") is not None
    and (OFFLINE / "org/apache/maven/plugins/maven-surefire-plugin").is_dir()
    and (OFFLINE / "junit/junit").is_dir()
)
POM = """
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>shop</groupId><artifactId>shop</artifactId><version>1</version>
  <properties>
    <maven.compiler.source>8</maven.compiler.source>
    <maven.compiler.target>8</maven.compiler.target>
  </properties>
  <dependencies>
    <dependency>
      <groupId>junit</groupId><artifactId>junit</artifactId>
      <version>4.x</version><scope>test</scope>
    </dependency>
  </dependencies>
</project>
"""
TEST = """
package shop;
import org.junit.*;
public class CartTest {
  @Test public void adds() {}
  @Test public void waits() { Assert.assertTrue(new java.io.File("fixed").exists()); }
  @Ignore @Test public void skipped() {}
}
"""


@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason="mvn, Surefire and JUnit of Debian not here")
def test_maven_is_recorded_by_what_surefire_leaves_and_rerun_until_green(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("pom.xml", POM)
    here.file("src/test/java/shop/CartTest.java", TEST)
    command = ["mvn", "-B", "-o", "-q", f"-Dmaven.repo.local={OFFLINE}", "test"]
    assert here.bundle("run", "--", *command).code == 1
    verdicts = {"adds": "passed", "waits": "failed", "skipped": "skipped"}
    assert here.verdicts() == {f"shop.CartTest::{name}": one for name, one in verdicts.items()}
    assert here.latest().manifest.command.runner == "Maven"
    here.file("fixed", "")
    ended = here.bundle("rerun")
    assert (ended.code, "nothing is outstanding" in ended.stderr) == (0, True)
    assert here.verdicts() == {"shop.CartTest::waits": "passed"}
