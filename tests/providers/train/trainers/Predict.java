import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Answers each JSON line with the label whose mean is nearest. */
public class Predict {
    public static void main(String[] args) throws Exception {
        List<String> means = Files.readAllLines(Path.of(args[0], "means.txt"));
        BufferedReader rows = new BufferedReader(new InputStreamReader(System.in));
        Pattern column = Pattern.compile("\"a\"\\s*:\\s*(-?[0-9.]+)");
        for (String row; (row = rows.readLine()) != null; ) {
            Matcher match = column.matcher(row);
            match.find();
            double a = Double.parseDouble(match.group(1));
            double first = Math.abs(a - Double.parseDouble(means.get(0)));
            double second = Math.abs(a - Double.parseDouble(means.get(1)));
            System.out.println(first <= second ? 0 : 1);
        }
    }
}
